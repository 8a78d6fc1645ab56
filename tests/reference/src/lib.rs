//! The reference of our configuration, made from the code and held to it.
//!
//! A configuration file is a type. Which keys it has, of what shape, serde says itself (`keys`); what they mean,
//! their defaults and limits stand in the doc comments of the type, which are read from its source
//! (`sources`, `facts`); and the program's own parser is asked whether that is true ([`ConfigFile::proven`]). From the
//! three come the tables of `docs/configuration.md` and the commented examples. A key that nobody described, or
//! that does not do what its description says, fails the test of its crate.
//!
//! A doc comment of a key is prose, of which these turns are understood:
//!
//! - `Default X.`, a sentence of its own. A number, a truth, text in backquotes or `none` is proven by the parser; of an
//!   `Option` it may be any words, for example `Default: the address's.`
//! - `N to M`, `at least N`: limits of a number, proven from both sides.
//! - ``as `X` ``: what the example file shows. Needed where there is no default that could be shown.

mod example;
mod facts;
mod file;
mod keys;
mod options;
mod page;
mod sources;

pub use file::ConfigFile;
pub use options::table as options;
pub use page::hold;
