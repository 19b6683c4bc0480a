//! The whole system: `tripline serve`, `tripline-agent` and nats-server as processes, with NATS clients and HTTP
//! clients from outside. No test waits for a time, and none asserts one.
//!
//! The promises of the documentation, and the tests that fail when one is broken:
//!
//! | promise | tests |
//! | --- | --- |
//! | 1 in | `flow::an_event_is_acked_only_after_its_jobs_are_durable`, `flow::handling_the_same_event_again_causes_no_second_job`, `outage::a_broker_outage_under_load_loses_nothing_and_is_told` (an edge's answer), `streams::*` |
//! | 2 every job ends, every host of a fan-out has one outcome | `agents::every_job_ends_within_its_own_limits`, `agents::a_job_whose_agent_does_not_come_back_ends_and_its_slot_is_free`, `crash::*`, `crash::unattended::*` (fan-outs), `fanouts::*` |
//! | 3 out | `flow::an_event_becomes_a_result_on_its_subject_with_the_job_id_as_message_id`, `outage::*`, `crash::*` (of them `crash::unattended::*` with the summaries of fan-outs) |
//! | 4 crash | `crash::*` (of them `crash::unattended::*` with fan-outs in flight), `agents::a_changing_command_whose_agent_died_is_interrupted_and_not_run_again`, `agents::a_command_that_runs_while_the_server_is_killed_is_adopted`, `resume::*`, `fanouts::a_server_that_is_killed_in_the_midst_goes_on_and_no_host_has_a_second_turn` |
//! | 5 slots | `slots::two_hundred_jobs_never_hold_more_than_ten_slots_and_all_end`, `crash::*` |
//! | 6 order | `slots::jobs_of_one_host_run_in_the_order_they_were_accepted_also_over_a_crash`, `offline::*` |
//! | 7 bounds | `agents::a_frame_too_large_closes_the_channel_with_its_reason`, `disk::*`; most are tested where they are kept |
//! | 8 bad input | `bad_events::*`, `bad_requests::*`, `carbonblack::*`, `sessions::*`, `console::*`, `rules::*`, `startup::*`, `agents::a_wrong_key_and_a_used_up_token_are_refused`, `commands::*` |
//!
//! `TRIPLINE_SOAK_ROUNDS=100` makes the tests of `crash` longer (`make soak`), `TRIPLINE_SOAK_TRANSFER_BYTES` those of
//! `resume` (`make soak-transfer`).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

mod agents;
mod audit;
mod bad_events;
mod bad_requests;
mod carbonblack;
mod changes;
mod circles;
mod commands;
mod console;
mod control;
mod crash;
mod disk;
mod event_stream;
mod explain;
mod fanouts;
mod files;
mod fleet;
mod flow;
mod guards;
#[path = "../harness/mod.rs"]
mod harness;
mod isolated;
mod isolation;
mod labels;
mod library;
mod listener;
mod metrics;
mod missed;
#[path = "../../agent/tests/isolation/namespace.rs"]
mod namespace;
mod offline;
mod outage;
mod relay;
mod resume;
mod rules;
mod scripted;
mod sessions;
mod slots;
mod startup;
mod stop;
mod store;
mod streams;
mod supervision;
#[path = "../harness/terminal.rs"]
mod terminal;
mod top;
mod traces;
