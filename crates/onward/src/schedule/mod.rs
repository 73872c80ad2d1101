//! Periodic jobs: each due time runs on one node of all, and is taken over when that node dies.

pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod timetable;
