//! The walls of the house, checked: who may use whom, what pure rooms may not touch, how long a file may be.
//!
//! Each rule is a function from a [`House`] to the sentences that say what breaks it; an empty list means that
//! the house is tidy. `tests/house.rs` puts this repository before all of them.

mod house;
mod manners;
mod papers;
mod purity;
mod rooms;
mod source;

pub use house::{Crate, Dependency, File, House, read};

/// Everything that is untidy, one sentence each, sorted. Empty: nothing is.
pub fn complaints(house: &House) -> Vec<String> {
    let rules = [
        rooms::use_only_whom_they_may,
        rooms::foreign_crates_stay_in_their_rooms,
        rooms::dependencies_keep_their_names,
        purity::pure_rooms_stay_pure,
        manners::files_are_short,
        manners::modules_are_named_after_their_noun,
        manners::nothing_is_left_undone,
        manners::tests_are_sentences,
        manners::every_crate_obeys_the_lints,
        papers::links_lead_somewhere,
        papers::the_map_is_true,
    ];
    let mut all: Vec<String> = rules.iter().flat_map(|rule| rule(house)).collect();
    all.sort();
    all
}
