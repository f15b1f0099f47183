"""The nft table that firewalld keeps, in the shape it has on RHEL 8 and 9, reduced to what decides.

Its base chains run at the classic priority plus ten (firewalld src/firewall/core/nftables.py: NFT_HOOK_OFFSET), so an accept in
iptables' filter chains does not spare a packet from them. The node's subnet is in the trusted zone; the pod network is in none,
falls through the default zone and meets the last rule.
"""

FIREWALLD = """table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        jump filter_INPUT_ZONES
        ct state invalid drop
        reject with icmpx type admin-prohibited
    }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
    }
    chain filter_OUTPUT {
        type filter hook output priority filter + 10; policy accept;
        ct state { established, related } accept
        oifname "lo" accept
    }
    chain filter_INPUT_ZONES {
        ip saddr 172.31.16.0/20 goto filter_IN_trusted
        iifname "eth0" goto filter_IN_public
        goto filter_IN_public
    }
    chain filter_IN_trusted {
        accept
    }
    chain filter_IN_public {
        jump filter_IN_public_pre
        jump filter_IN_public_log
        jump filter_IN_public_deny
        jump filter_IN_public_allow
        jump filter_IN_public_post
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain filter_IN_public_pre {
    }
    chain filter_IN_public_log {
    }
    chain filter_IN_public_deny {
    }
    chain filter_IN_public_allow {
        tcp dport 22 ct state { new, untracked } accept
        ip6 daddr fe80::/64 udp dport 546 ct state { new, untracked } accept
    }
    chain filter_IN_public_post {
    }
}
"""
