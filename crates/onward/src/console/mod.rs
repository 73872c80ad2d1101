//! `/console`: what a person looks at instead of reading logs. Server-rendered pages without foreign assets.
//!
//! | what | where |
//! |---|---|
//! | who may look, and who may act | `access.rs`, `sessions.rs` |
//! | which path is which page | `routes.rs` |
//! | what all pages have | `page.rs`, `assets/` |
//! | the pages | `overview.rs`, `in_flight.rs`, `dead.rs`, `dead_letter.rs`, `jobs.rs`, `migrations.rs`, `instance.rs`, `development.rs` |
//! | pages that change while they are open | `live.rs` |
//! | what is measured for the plots | `samples.rs`, `plot.rs` |
//! | redrives and deletions: the question, what runs, its page | `confirm.rs`, `actions.rs`, `progress.rs` |

mod access;
mod actions;
mod confirm;
mod dead;
mod dead_letter;
mod development;
mod form;
mod in_flight;
mod instance;
mod jobs;
mod json;
mod letters;
mod links;
mod live;
mod migrations;
mod options;
mod overview;
mod page;
mod plot;
mod progress;
mod queue;
mod routes;
mod samples;
mod schema;
mod sessions;
mod site;
mod sql;
mod stored;
mod visitor;

pub(crate) use letters::Letters;
pub(crate) use options::ConsoleOptions;
pub(crate) use queue::QueueSite;
pub(crate) use routes::routes;
pub(crate) use samples::Samples;
pub(crate) use site::{Site, SiteParts};
