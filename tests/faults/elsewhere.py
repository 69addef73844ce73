"""Faults that are shown by other tests, and those that cannot happen here."""

ELSEWHERE: dict[int, list[tuple[str, str]]] = {
    32: [
        ("data/test_download.py::test_anything_else_leaves_nothing", "half a download, a page of HTML, another length"),
        ("data/test_download.py::test_a_redirect_away_from_https_is_refused", "a redirect to http"),
        ("hostile/test_hostile.py::test_inputs_of_every_format_are_read_or_refused", "archives changed at random"),
    ],
    37: [
        ("faults/test_system.py::test_a_data_folder_that_cannot_be_written", "a data cache that is read-only or full")
    ],
    49: [
        ("nn/fusion/test_fused_paths.py::test_a_compiled_model_runs_as_it_is", "torch.compile"),
        ("nn/norms/test_held_statistics.py::test_a_copy_made_inside_holds_nothing", "copies and pickles of a norm"),
        ("training/test_foreign.py::test_leak_and_wrapper_are_read", "names that begin with module."),
    ],
    50: [
        ("nn/norms/test_temporal.py::test_a_constant_channel_stays_finite", "a channel of one value: no NaN"),
        (
            "analysis/activity/test_health.py::test_variances_that_collapsed_and_what_they_amplify",
            "named, with its gain",
        ),
    ],
    51: [("analysis/activity/test_health.py::test_dead_layers_and_those_behind_them", "a layer that never fires")],
    52: [("analysis/activity/test_health.py::test_saturated_above_a_rate_of_95_percent", "a layer that always fires")],
    53: [
        (
            "analysis/activity/test_health.py::test_a_layer_whose_threshold_nothing_reaches_is_found_in_a_real_network",
            "potentials that no surrogate reaches: the layer is named before the first update",
        )
    ],
    54: [
        ("nn/norms/test_temporal.py::test_a_negative_gamma_is_legal", "γ below 0"),
        (
            "analysis/exit/test_early_exit.py::test_the_readings_differ_where_signs_and_deviations_do",
            "and where to stop",
        ),
    ],
    57: [("training/test_session.py::test_nothing_that_is_not_finite_reaches_an_update", "a NaN in one hidden weight")],
    58: [("training/test_session.py::test_nothing_that_is_not_finite_reaches_an_update", "an infinite gradient")],
    60: [
        ("training/test_session.py::test_large_but_finite_numbers_pass", "large, but finite"),
        ("training/test_session.py::test_nothing_that_is_not_finite_reaches_an_update", "and beyond that"),
    ],
    61: [("nn/norms/test_temporal.py::test_settings_out_of_range", "ε = 0, a momentum beyond 1")],
    62: [
        ("nn/norms/test_temporal.py::test_half_precision_is_normalised_in_float32", "inputs of half precision"),
        ("nn/norms/test_temporal.py::test_autocast_changes_no_statistics", "autocast"),
        (
            "nn/fusion/test_fused_paths.py::test_weights_in_half_precision_are_refused_with_what_to_do",
            "weights of half precision",
        ),
    ],
    63: [("ops/test_norm.py::test_every_row_belongs_to_its_own_step", "steps in another order")],
    64: [
        (
            "nn/encoders/test_poisson.py::test_noise_differs_between_steps_and_pixels",
            "the same spikes at every step or pixel",
        ),
        ("nn/encoders/test_poisson.py::test_seed_and_draw_give_other_noise", "the same in every epoch"),
        ("ops/test_random.py::test_neighbouring_counters_are_uncorrelated", "alike from one to the next"),
    ],
    67: [("io/test_pickled.py::test_no_code_runs", "18 files with code in them, beside a canary")],
    69: [
        ("faults/test_system.py::test_a_full_disk_leaves_what_was_there", "a file system of 1 MB"),
        ("cli/test_train.py::test_what_was_measured_is_shown_though_the_disk_is_full", "and what was measured"),
    ],
    70: [("io/test_files.py::test_every_failing_call_leaves_the_old_file", "every call that fails, fsync too")],
    71: [("faults/test_system.py::test_a_run_directory_that_becomes_read_only_or_goes_away", "mounted again, removed")],
    72: [("faults/test_system.py::test_no_more_files_can_be_opened", "a limit of open files")],
    73: [
        (
            "runs/training/test_checkpoints.py::test_nothing_older_goes_before_the_new_one_is_there",
            "pruning, and a crash",
        )
    ],
    74: [("runs/training/test_checkpoints.py::test_latest_is_by_updates_not_by_name_or_clock", "clocks and names")],
    75: [
        ("runs/training/test_resume.py::test_a_recipe_that_was_changed_is_not_resumed", "what must stay"),
        ("runs/training/test_resume.py::test_what_may_change_changes_and_is_said", "what may change, and is told"),
    ],
    76: [("runs/training/test_resume.py::test_resuming_a_finished_run_trains_no_more", "a finished run, resumed")],
    77: [("runs/training/test_resume.py::test_three_stops_in_one_epoch", "three stops in one epoch")],
    78: [
        ("cli/test_ends.py::test_a_process_that_trains_nothing_ends_at_once", "signals before and after the training"),
        ("chaos/test_chaos.py::test_stops_of_every_kind", "and at every place of it"),
    ],
    79: [("chaos/test_chaos.py::test_kills", "SIGKILL at random; `make chaos` kills 200 times")],
    80: [("cli/test_ends.py::test_a_storm_is_one_wish_and_one_end", "ten SIGTERM at once")],
    81: [("faults/test_system.py::test_a_process_that_was_stopped_goes_on", "SIGSTOP and SIGCONT")],
    84: [
        (
            "io/test_lock.py::test_another_process_is_refused_and_told_who_holds_it",
            "two runs in one directory",
        ),
        ("io/test_lock.py::test_a_killed_holder_is_no_obstacle", "the lock of a killed process"),
        ("io/test_lock.py::test_what_the_file_says_does_not_decide", "a number of a process used again"),
        ("io/test_lock.py::test_without_locks_a_file_decides", "a file system without locks"),
    ],
    85: [("cli/test_streams.py::test_a_window_that_is_closed_takes_nothing_with_it", "a terminal that is closed")],
    86: [
        ("cli/test_ends.py::test_no_import_handles_anything", "an import leaves signals alone; no test draws globally")
    ],
    87: [("runs/test_environment.py::test_it_is_json_and_names_the_versions", "threads stand beside numbers")],
    88: [("runs/recipe/test_build.py::test_devices_that_are_not_here", "cuda:7, gpu, mps: never another one instead")],
    89: [
        ("cli/test_main.py::test_errors_end_in_one_line_and_their_code", "no memory on a device, a device that is lost")
    ],
    90: [
        (
            "io/test_checkpoint.py::test_round_trip_of_tensors_and_facts",
            "a file says no device: its tensors are read on the processor and copied where the model is",
        )
    ],
    91: [
        (
            "analysis/exit/test_early_exit.py::test_a_threshold_that_nothing_reaches_is_one_step_with_a_warning",
            "never 0",
        )
    ],
    92: [
        ("analysis/exit/test_early_exit.py::test_thresholds_that_are_none", "NaN, infinite, below 0"),
        ("analysis/exit/test_early_exit.py::test_a_dip_in_between_is_no_exit", "γ that dips and rises again"),
    ],
    93: [
        (
            "analysis/accuracy/test_evaluation.py::test_a_pass_that_stops_early_counts_what_the_whole_one_did_until_there",
            "sums",
        ),
        (
            "analysis/exit/test_measure.py::test_a_norm_without_a_gamma_for_each_step_is_refused_but_for_each_sample_by_itself",
            "a norm without a γ for each step",
        ),
    ],
}
"""By number: a test, and which part of the fault it shows."""

CANNOT = {
    82: "`bntt` starts no process that loads data; the workers of a `DataLoader` of your own are PyTorch's, and so are "
    "the errors when they die",
    83: "likewise: what your own loader raises comes through `fit` as it is",
}
"""By number: why it cannot happen here."""
