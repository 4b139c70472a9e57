//! The contract: what every adapter promises, as cases that run on each of them against the real engine.
//!
//! A case is data: its name says the promise, `needs` which capability it is about, and `run` tries it on a
//! database of its own. A new case needs a line in [`cases`] and meets every adapter.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "cases are tests: what is not as promised ends them"
)]

mod copies;
mod earlier;
mod executors;
pub mod fill;
mod host_keys;
mod inventory;
mod keeping;
mod members;
mod outputs;
mod random;
mod reading;
mod retention;
pub mod stories;
mod submit;
mod transitions;
mod vault;
pub mod world;

use futures_util::future::BoxFuture;

use crate::capabilities::Capabilities;
pub use world::World;

/// What a case needs of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that any adapter lacks.
    Nothing,
    /// [`Capabilities::keeps`].
    Keeps,
    /// [`Capabilities::shared`].
    Shared,
    /// [`Capabilities::reads_beside_writes`].
    ReadsBesideWrites,
}

impl Need {
    /// Tells whether an adapter has it.
    #[must_use]
    pub fn is_met_by(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Nothing => true,
            Self::Keeps => capabilities.keeps,
            Self::Shared => capabilities.shared,
            Self::ReadsBesideWrites => capabilities.reads_beside_writes,
        }
    }
}

/// One promise.
#[derive(Clone, Copy)]
pub struct Case {
    /// The promise, as a sentence.
    pub name: &'static str,
    /// The capability that it is about.
    pub needs: Need,
    /// Tries it; panics where it is broken.
    pub run: fn(World) -> BoxFuture<'static, ()>,
}

macro_rules! cases {
    ($($need:ident: $($module:ident::$name:ident)*;)*) => {
        vec![$($(Case {
            name: stringify!($name),
            needs: Need::$need,
            run: |world| Box::pin($module::$name(world)),
        },)*)*]
    };
}

/// Returns every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    cases![
        Nothing:
            submit::a_task_is_read_back_as_it_was_written
            submit::numbers_begin_at_one_and_grow
            submit::the_same_request_makes_one_task
            submit::many_submits_at_once_get_numbers_of_their_own
            submit::the_same_request_many_times_at_once_makes_one_task
            submit::a_wrong_task_is_refused_and_uses_no_number
            submit::texts_are_data_and_never_statements
            submit::a_hundred_thousand_runs_are_written_and_paged
            submit::the_input_of_a_task_that_is_not_there_is_not_found;
        Nothing:
            transitions::everything_about_an_end_is_kept
            transitions::of_many_that_start_a_run_one_wins
            transitions::a_terminal_run_never_changes
            transitions::a_run_that_has_started_is_not_withdrawn
            transitions::a_change_for_another_attempt_is_refused
            transitions::another_attempt_keeps_the_history_and_begins_anew
            transitions::changes_of_one_call_are_applied_in_their_order
            transitions::answers_stand_in_the_order_of_the_changes
            transitions::exactly_one_change_ends_the_task
            transitions::a_change_of_a_run_that_is_not_there_says_so
            transitions::output_that_is_too_large_is_refused_and_changes_nothing
            transitions::numbers_at_their_edges_survive
            transitions::texts_of_a_host_are_kept_or_cut_and_hold_up_nobody
            transitions::a_call_that_is_dropped_is_done_as_a_whole_or_not_at_all
            random::any_changes_in_any_order_end_as_the_rule_says
            random::counts_are_right_whoever_changes_what_at_once;
        Nothing:
            reading::tasks_are_found_by_state_and_by_the_states_of_their_runs
            reading::tasks_are_found_by_owner_time_and_number
            reading::the_text_filter_is_literal_and_knows_no_case
            reading::runs_are_found_by_index_and_state
            reading::open_runs_are_those_that_are_not_terminal
            reading::what_is_not_there_is_none;
        Nothing:
            executors::an_executor_is_known_until_it_is_forgotten
            executors::the_clock_of_the_database_is_that_of_this_machine
            executors::an_owner_of_started_runs_is_known_without_a_sign_of_life
            executors::of_many_that_adopt_a_task_one_gets_it
            executors::a_task_that_is_done_is_not_adopted
            executors::a_task_is_cancelled_once
            members::servers_are_known_with_what_they_last_said
            members::who_was_buried_never_renews_its_lease
            members::a_lease_is_renewed_or_its_holder_is_buried_and_never_both
            members::of_many_that_want_to_lead_one_does_and_terms_only_grow
            members::cancelled_tasks_are_listed_until_they_are_done
            members::secrets_of_a_task_are_there_until_it_is_done_and_not_longer;
        Nothing:
            outputs::what_is_appended_is_read_in_whole_frames
            outputs::an_append_that_is_not_at_the_end_is_a_conflict
            outputs::what_is_not_made_of_frames_is_refused
            outputs::more_than_an_append_takes_is_refused
            outputs::a_log_that_is_discarded_while_it_grows_may_begin_anew
            outputs::a_long_frame_is_read_whole_however_little_was_asked_for
            outputs::output_that_came_with_the_end_is_read_from_the_same_port
            outputs::output_of_many_runs_comes_at_once_and_of_last_attempts_alone
            outputs::discarded_output_is_gone_and_may_be_discarded_again
            outputs::attempts_have_logs_of_their_own
            outputs::five_hundred_runs_stream_at_once
            outputs::of_two_that_append_at_the_same_place_one_wins;
        Nothing:
            inventory::a_host_is_read_back_as_it_was_added
            inventory::a_name_is_taken_once
            inventory::hosts_are_added_or_replaced_together
            inventory::a_change_is_done_as_a_whole_or_not_at_all
            inventory::a_change_of_what_somebody_else_has_changed_is_a_conflict
            inventory::of_many_that_change_what_they_saw_one_does
            inventory::hosts_are_found_by_many_names
            inventory::names_are_completed_in_order_and_to_the_letter
            inventory::hosts_and_groups_are_many_to_many
            inventory::groups_are_counted_empty_ones_too
            inventory::groups_hold_groups_and_each_host_counts_once
            inventory::a_group_never_holds_itself
            inventory::two_changes_at_once_make_no_circle
            inventory::a_removed_host_is_in_no_group
            inventory::a_group_may_name_hosts_that_are_not_in_the_inventory
            inventory::facts_are_kept_for_hosts_of_the_inventory
            inventory::a_large_inventory_is_told_whole_and_once
            inventory::no_change_during_a_reading_is_missed
            inventory::what_has_changed_is_told_once;
        Nothing:
            vault::a_credential_is_read_back_as_it_was_put
            vault::of_many_that_change_a_credential_one_wins
            vault::a_credential_goes_by_its_name
            vault::a_credential_that_hosts_use_stays_unless_it_is_forced
            vault::a_key_that_is_used_is_not_retired
            vault::nothing_is_sealed_with_a_key_that_is_not_there_or_retired
            vault::of_many_that_make_the_first_key_one_wins
            vault::names_and_bytes_are_data_and_never_statements
            vault::what_is_too_large_is_refused;
        Nothing:
            host_keys::a_first_key_is_pinned_only_where_that_is_wanted
            host_keys::another_key_is_offered_and_never_taken
            host_keys::of_a_stranger_the_latest_four_keys_are_kept
            host_keys::of_two_that_meet_a_host_first_one_pins
            host_keys::an_accepted_key_takes_the_place_of_all_others
            host_keys::what_is_kept_or_forgotten_is_gone
            host_keys::decisions_are_done_all_or_not_at_all
            host_keys::several_keys_are_pinned_together
            host_keys::a_copy_follows_by_its_revision
            host_keys::names_and_keys_are_data_and_bounded;
        Nothing:
            keeping::a_closed_store_says_that_it_is_closed
            keeping::what_is_settled_during_a_shutdown_is_written
            keeping::a_ping_names_the_engine_and_the_schema;
        Nothing:
            retention::equal_outputs_are_read_back_as_each_was_written
            retention::a_log_of_its_own_is_read_as_before_when_it_has_ended
            retention::a_task_that_is_not_done_is_never_removed
            retention::what_ended_lately_is_not_removed
            retention::what_somebody_reads_is_not_removed
            retention::old_output_goes_and_the_task_says_so
            retention::where_output_is_too_much_the_oldest_goes;
        Keeps:
            retention::equal_outputs_are_stored_once
            retention::a_log_that_came_with_the_end_too_is_kept_once
            retention::a_removed_task_leaves_nothing
            retention::a_removal_that_was_interrupted_goes_on
            retention::shared_output_stays_while_one_run_has_it
            retention::a_task_with_more_runs_than_a_step_goes_as_a_whole;
        Shared:
            retention::of_one_that_shares_and_one_that_removes_nothing_is_lost;
        Keeps:
            keeping::everything_is_there_when_it_is_opened_again
            keeping::it_may_be_opened_again_without_having_been_closed
            keeping::numbers_go_on_after_it_is_opened_again;
        Keeps:
            copies::every_table_that_is_there_is_copied
            copies::a_copy_to_here_and_back_has_the_same_checksums
            copies::a_database_that_is_not_empty_is_refused_and_left_as_it_is
            copies::an_unfinished_copy_is_refused_until_it_is_made_again
            copies::a_source_at_work_is_refused_unless_that_is_wanted
            copies::a_backup_is_one_file_and_is_restored
            earlier::rows_of_every_earlier_schema_survive;
        Shared:
            keeping::two_handles_work_side_by_side
            keeping::of_two_handles_that_start_a_run_one_wins
            keeping::the_same_request_through_two_handles_makes_one_task
            keeping::handles_that_change_the_same_tasks_in_any_order_all_end
            keeping::many_may_open_a_new_database_at_once;
        ReadsBesideWrites:
            keeping::a_large_write_does_not_hold_up_reads;
    ]
}
