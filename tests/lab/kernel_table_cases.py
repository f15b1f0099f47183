"""Cases as in `kernel_cases` whose rules stand in other tables than filter, too: raw, mangle, nat and security."""

from tests.lab.kernel_cases import Case

OTHER_TABLES = [
    Case("invalid before conntrack", "DROP", "raw PREROUTING -m conntrack --ctstate INVALID -j DROP"),
    Case("not new before conntrack", "DROP", "raw PREROUTING -m conntrack ! --ctstate NEW -j DROP"),
    Case("not dnat before conntrack", "DROP", "raw PREROUTING -m conntrack ! --ctstate DNAT -j DROP"),
    Case("ctdir before conntrack", "ACCEPT", "raw PREROUTING -m conntrack --ctdir ORIGINAL -j DROP"),
    Case("loop keeps conntrack", "DROP", "raw PREROUTING -m conntrack --ctstate NEW -j DROP", source="node"),
    Case("notrack", "DROP", "raw PREROUTING -j CT --notrack\nfilter INPUT -m conntrack --ctstate UNTRACKED -j DROP"),
    Case(
        "notrack is not new",
        "ACCEPT",
        """
        raw PREROUTING -j CT --notrack
        filter INPUT -m conntrack --ctstate NEW -j DROP
        """,
    ),
    Case(
        "untracked in raw",
        "DROP",
        "raw PREROUTING -j CT --notrack\nraw PREROUTING -m conntrack --ctstate UNTRACKED -j DROP",
    ),
    Case(
        "notrack has no connmark",
        "ACCEPT",
        "raw PREROUTING -j CT --notrack\nfilter INPUT -m connmark ! --mark 0x5 -j DROP",
    ),
    Case(
        "notrack on lo comes too late",
        "DROP",
        """
        raw PREROUTING -i lo -j CT --notrack
        filter INPUT -i lo -m conntrack --ctstate NEW -j DROP
        """,
        source="node",
    ),
    # marks
    Case(
        "mark",
        "DROP",
        "mangle PREROUTING -j MARK --set-xmark 0x4000/0x4000\nfilter INPUT -m mark --mark 0x4000/0x4000 -j DROP",
    ),
    Case(
        "mark arithmetic",
        "DROP",
        """
        mangle PREROUTING -j MARK --set-xmark 0xff/0xffffffff
        mangle PREROUTING -j MARK --set-xmark 0x0/0xf
        mangle PREROUTING -j MARK --set-xmark 0x30/0x0
        filter INPUT -m mark --mark 0xc0 -j DROP
        """,
    ),
    Case(
        "connmark",
        "DROP",
        """
        mangle PREROUTING -j CONNMARK --set-xmark 0x7/0xffffffff
        filter INPUT -m connmark --mark 0x7 -j DROP
        """,
    ),
    Case(
        "save and restore mark",
        "DROP",
        """
        mangle PREROUTING -j MARK --set-xmark 0x12/0xffffffff
        mangle PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff
        mangle PREROUTING -j MARK --set-xmark 0x0/0xffffffff
        mangle INPUT -j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xf0
        filter INPUT -m mark --mark 0x10 -j DROP
        """,
    ),
    # other tables
    Case("raw drop", "DROP", "raw PREROUTING -p tcp -j DROP\nfilter INPUT ACCEPT"),
    Case("mangle prerouting drop", "DROP", "mangle PREROUTING -i cni0 -j DROP\nfilter INPUT -j ACCEPT"),
    Case("mangle input drop", "DROP", "mangle INPUT DROP\nfilter INPUT -j ACCEPT"),
    Case("mangle accept is not final", "DROP", "mangle INPUT -j ACCEPT\nfilter INPUT -j DROP"),
    # NAT
    Case(
        "redirect",
        "DROP",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 8080 -j DROP
        """,
    ),
    Case(
        "redirect leaves the port",
        "ACCEPT",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 10250 -j DROP
        """,
    ),
    Case(
        "redirected is dnat",
        "DROP",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -m conntrack --ctstate DNAT -j DROP
        """,
    ),
    Case(
        "redirect is not for lo",
        "DROP",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 10250 -j DROP
        """,
        source="node",
    ),
    Case(
        "dnat to another own address",
        "DROP",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j DNAT --to-destination 10.244.4.1:8080
        filter INPUT -d 10.244.4.1/32 -p tcp -m tcp --dport 8080 -m conntrack --ctstate DNAT -j DROP
        """,
    ),
    Case(
        "dnat to the same place changes nothing",
        "ACCEPT",
        """
        nat PREROUTING -p tcp -j DNAT --to-destination 172.31.16.124
        filter INPUT -m conntrack --ctstate DNAT -j DROP
        """,
    ),
    Case(
        "nat accept ends nat only",
        "DROP",
        """
        nat PREROUTING -p tcp -j ACCEPT
        nat PREROUTING -p tcp -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 10250 -j DROP
        """,
    ),
    Case(
        "nat is not for the untracked",
        "DROP",
        """
        raw PREROUTING -j CT --notrack
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -p tcp -m tcp --dport 10250 -j DROP
        """,
    ),
    Case(
        "dnat away",
        "MAYBE",
        """
        nat PREROUTING -p tcp -j DNAT --to-destination 10.244.4.99:10250
        filter INPUT -j DROP
        """,
    ),
    Case(
        "the connection remembers the port before a redirect",
        "DROP",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter INPUT -m conntrack --ctorigdstport 8080 -j ACCEPT
        filter INPUT -m conntrack --ctstate NEW --ctorigdstport 10250 -j DROP
        """,
    ),
    Case("ctorig before conntrack", "ACCEPT", "raw PREROUTING -m conntrack ! --ctorigdstport 1 -j DROP"),
    Case("rpfilter is not followed", "MAYBE", "raw PREROUTING -m rpfilter --invert -j DROP"),
    Case("answer is invalid before conntrack", "ACCEPT", "raw OUTPUT -m conntrack --ctstate INVALID -j DROP"),
    Case("answer comes from the port", "ACCEPT", "mangle OUTPUT -p tcp -m tcp --sport 10250 -j DROP"),
    Case("answer from local", "ACCEPT", "security OUTPUT -o cni0 -m addrtype --src-type LOCAL -j DROP"),
    Case("answer to unicast", "ACCEPT", "security OUTPUT -m addrtype ! --dst-type UNICAST -j DROP"),
    Case("answer lost behind routing", "ACCEPT", "mangle POSTROUTING -o cni+ -j DROP"),
    Case("answer has no device of entry", "ACCEPT", "mangle OUTPUT ACCEPT\nfilter OUTPUT -m addrtype --dst-type LOCAL -j DROP"),
    Case(
        "answer skips nat",
        "ACCEPT",
        "nat OUTPUT -p tcp -j DNAT --to-destination 10.244.4.99\nfilter OUTPUT -d 10.244.4.99 -j DROP",
    ),
    Case(
        "answer bears no mark", "ACCEPT", "mangle PREROUTING -j MARK --set-xmark 0x5\nfilter OUTPUT -m mark --mark 0x5 -j DROP"
    ),
    Case(
        "answer bears the connection's mark",
        "ACCEPT",
        """
        mangle PREROUTING -j CONNMARK --set-xmark 0x5
        mangle OUTPUT -j CONNMARK --restore-mark
        filter OUTPUT -m mark --mark 0x5 -j DROP
        """,
    ),
    Case(
        "answer from the port behind a redirect",
        "ACCEPT",
        """
        nat PREROUTING -p tcp -m tcp --dport 10250 -j REDIRECT --to-ports 8080
        filter OUTPUT -p tcp -m tcp --sport 10250 -j ACCEPT
        filter OUTPUT -p tcp -m tcp --sport 8080 -m conntrack --ctstate DNAT -j DROP
        """,
    ),
    Case(
        "answer of the untracked is invalid",
        "ACCEPT",
        """
        raw PREROUTING -j CT --notrack
        filter OUTPUT -o cni0 -m conntrack --ctstate INVALID -j DROP
        """,
    ),
    Case(
        "answer untracked in its turn",
        "ACCEPT",
        """
        raw PREROUTING -j CT --notrack
        raw OUTPUT -j CT --notrack
        filter OUTPUT -m conntrack ! --ctstate UNTRACKED -j DROP
        """,
    ),
    Case(
        "answer by chance on the way there",
        "ACCEPT",
        """
        mangle PREROUTING -m statistic --mode random --probability 0.5 -j CONNMARK --set-xmark 0x5
        filter OUTPUT -m connmark --mark 0x5 -j DROP
        """,
    ),
]
