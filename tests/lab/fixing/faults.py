"""Which test stands for which fault of the fix's threat model: C are crashes, time and disks, W other writers.

A word that begins with `test_` is a function of `tests/lab/test_fix.py`, or of the file before it; any other is a case of
`cases/`. For each fault at least one runs on both iptables-legacy and iptables-nft. `make fix-faults`, `kill-matrix` and
`lost-updates` have the full counts.
"""

UNIT = "tests/unit/service/test_fixes.py"
FAULTS: dict[str, tuple[str, ...]] = {
    # SIGKILL at random moments between journal and verification, nobody left alive: 1,000.
    "C1": ("test_whoever_is_killed_access_ends_with_the_lease_and_nothing_is_left",),
    # Nobody of ours is there when the lease ends.
    "C2": (
        "an_accept_opens_ends_by_itself_and_leaves_nothing",
        "open_connections_outlive_it_unless_they_are_cut",
        "test_the_incident_from_plan_to_expiry_on_the_command_line",
    ),
    # The machine was started again.
    "C3": ("another_boot_ends_it",),
    # Somebody saved our rule and restores it after its end.
    "C4": ("a_restored_copy_is_dead_and_swept",),
    # The wall clock jumps.
    "C5": ("a_clock_that_is_set_ends_it", "the_set_ends_it_where_the_clock_does_not", "a_kernel_with_neither_is_refused"),
    # SIGTERM with a fix alive: the rule stays to its end, and whoever starts next has the same fix; or it is taken out. 20.
    "C6": (
        "test_restarts_leave_a_fix_as_it_is",
        "test_told_to_end_it_takes_a_fix_out_where_that_is_asked",
        "told_to_end_fixes_stay_where_they_are_to_be_kept",
        "told_to_end_fixes_are_taken_out_where_that_is_asked",
        "told_to_end_what_only_we_would_end_is_taken_out_in_any_case",
        "told_to_end_nothing_waits_for_what_cannot_be_taken_out",
    ),
    # No room, or no leave, to write.
    "C7": (
        "a_full_disk_refuses_before_the_kernel_is_touched",
        "a_read_only_state_directory_refuses",
        "a_state_directory_behind_a_link_is_refused",
    ),
    # The journal is damaged: 200 places.
    "C8": ("a_journal_that_is_damaged_ends_its_fix",),
    # The audit log was edited: 100 bytes, and a tail cut off.
    "C9": ("the_audit_log_tells_of_a_changed_byte",),
    # A pod with 100,000 rules of its own: 100 looks within the DaemonSet's memory.
    "C10": ("test_a_pod_with_many_rules_costs_the_node_nothing",),
    # The broker is killed: 100.
    "C11": (
        "test_restarts_leave_a_fix_as_it_is",
        "a_broker_killed_before_a_fix_is_verified_leaves_it_to_its_trial",
        "tests/service/test_killed_brokers.py::test_another_broker_answers_through_the_same_front_which_has_no_privilege",
    ),
    # The same asked for by 100 at once: 50 rounds.
    "W1": (
        "two_operators_get_one_rule_and_one_fix",
        "test_a_crowd_gets_one_rule_and_writers_lose_none",
        "test_two_operators_on_the_command_line_get_one_fix_and_the_log_tells_of_tampering",
        "test_the_incident_over_http_with_two_operators",
    ),
    # 50 different fixes by 8 writers, of which four may be alive.
    "W2": ("test_a_crowd_gets_one_rule_and_writers_lose_none", "at_most_four_are_alive"),
    # A human put the rule in already.
    "W3": ("where_a_human_opened_it_nothing_is_added_and_theirs_stays", "a_humans_rule_is_never_taken_out"),
    # The chain changes between plan and apply: 1,000.
    "W4": ("a_change_after_the_plan_is_a_conflict", f"{UNIT}::test_a_change_since_the_plan_is_told_line_by_line"),
    # Another table changes all the time.
    "W5": (
        "a_flapping_table_does_not_stop_it",
        "a_change_elsewhere_is_none",
        "a_table_that_grows_and_shrinks_all_the_time_is_read",
    ),
    # Somebody else holds iptables' lock.
    "W6": ("a_busy_lock_is_waited_for_and_then_told",),
    # How long we hold it.
    "W7": ("the_lock_is_never_held_for_long",),
    # Another writer in a tight loop: 10,000 writes.
    "W8": ("test_no_write_of_either_side_is_lost",),
    # A reload takes the rule out: 20.
    "W9": ("a_reload_is_noticed_and_put_back_three_times_where_asked", "the_watch_notices_within_two_seconds"),
    # Somebody's DROP above ours before it is verified.
    "W10": (
        "a_drop_before_the_connect_takes_it_out_again",
        f"{UNIT}::test_a_fix_that_does_not_help_is_taken_out_and_says_who_stops_it_now",
    ),
    # Both backends have rules.
    "W11": ("two_backends_by_accept_drop_reject",),
    # Another table of nftables drops as well.
    "W12": ("an_accept_that_cannot_help_is_not_tried", "test_where_an_accept_cannot_help_there_is_no_plan"),
    # The rules move to the other backend under a running service.
    "W13": ("a_backend_that_is_switched_is_the_next_plans",),
    # iptables is missing, of another mind, talkative, or stuck.
    "W14": (
        "programs_that_are_missing_are_named",
        "a_save_that_misbehaves_changes_nothing",
        "a_restore_that_misbehaves_changes_nothing",
        "a_restore_that_hangs_in_its_write_keeps_nobody_waiting",
    ),
    # Nothing but the intended changes: 200 real connects, and the plan's 200 packets.
    "W15": (
        "nothing_else_becomes_reachable",
        f"{UNIT}::test_a_plan_has_the_rule_before_the_one_that_blocks_and_changes_nothing",
    ),
}
