//! The worker over the queue in memory: what becomes of each message, in fair weather and in bad. Time is paused, so nothing is waited for and an
//! hour takes a second. The redrive policy is that of most queues, five receives.

mod attempts;
mod batching;
mod faulty;
mod groups;
mod intake;
mod kills;
mod last_receives;
mod leases;
mod lives;
mod neighbours;
mod outages;
mod stop;
mod support;
