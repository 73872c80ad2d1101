//! Runs the jobs of an app, each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use onward_worker::{Failure, FailureKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::handler::errors::{Classify, judged};
use crate::handler::job::Job;
use crate::handler::state::AnyState;
use crate::process::exit::{CommandError, Exit};
use crate::schedule::table::{CALL, Claim, DONE, Schedule};
use crate::schedule::timetable::{Timetable, now};

/// How often a node looks whether something is due that another node has not begun, or has left.
const LOOK: Duration = Duration::from_secs(5);

/// How long a run belongs to its node, which extends it as long as the run goes on: so long a due time waits when a node dies.
const LEASE: Duration = Duration::from_secs(60);

/// How often it is extended.
const EXTEND: Duration = Duration::from_secs(15);

/// The pause after the first failure; each further one doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// After so many attempts a run has failed, and the next one is that of the next due time.
const ATTEMPTS: i64 = 10;

/// How often the end of a run is written before another node may repeat it.
const TRIES: u32 = 4;

/// The jobs of an app while it works.
pub(crate) struct Jobs(JoinSet<()>);

/// What all jobs of a node need.
pub(crate) struct Node {
    pub name: String,
    pub schedule: Schedule,
    pub state: AnyState,
    /// What a failure means, as for messages.
    pub classify: Option<Arc<Classify>>,
    /// How long a run may go on after the stop.
    pub grace: Duration,
    pub stop: CancellationToken,
}

impl Jobs {
    /// Writes the row of each job that has none, and starts to wait for the due times.
    pub(crate) async fn start(jobs: Vec<Job>, node: Node) -> Result<Self, CommandError> {
        let (mut tasks, node) = (JoinSet::new(), Arc::new(node));
        for job in jobs {
            let timetable = Timetable::parse(job.times).map_err(|error| {
                let message = format!(
                    "the job `{}` has the times `{}`, which cannot be read: {error}",
                    job.name, job.times
                );
                CommandError::new(
                    Exit::Configuration,
                    message,
                    "write `MINUTE HOUR DAY MONTH WEEKDAY`, with a time zone behind it if it is not UTC",
                )
            })?;
            let due = timetable.last(now()).unwrap_or(0);
            let introduced =
                answered(node.schedule.introduce(Claim { job: job.name, due, node: &node.name }));
            introduced.await.map_err(|reason| {
                let help = match reason.contains("42501") {
                    true => "grant the role of `serve` SELECT, INSERT and UPDATE on it",
                    false => {
                        "create the table `schedule` in a script, as the documentation of periodic jobs shows, and run `app migrate`"
                    }
                };
                CommandError::new(Exit::Schema, format!("the table `schedule` cannot be used: {reason}"), help)
            })?;
            tracing::info!(job = job.name, times = %timetable, "periodic job");
            let node = node.clone();
            tasks.spawn(async move { repeat(&job, &timetable, &node).await });
        }
        Ok(Self(tasks))
    }

    /// Waits for the runs that have begun, each as long as its grace.
    pub(crate) async fn end(mut self) {
        while let Some(ended) = self.0.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the task of a periodic job failed");
            }
        }
    }
}

/// Claims each due time that is over, until the stop. One that passed while no node ran is made up for, the last one only.
async fn repeat(job: &Job, timetable: &Timetable, node: &Node) {
    let mut clock = Clock::default();
    while !node.stop.is_cancelled() {
        clock.read(&node.schedule).await;
        if let Some(due) = timetable.last(clock.now()) {
            let claim = Claim { job: job.name, due, node: &node.name };
            let claimed = Instant::now();
            match answered(node.schedule.claim(claim, LEASE)).await {
                Ok(Some(attempt)) => run(job, claim, attempt, claimed, node).await,
                Ok(None) => {}
                Err(reason) => tracing::warn!(
                    job = job.name,
                    reason,
                    "a periodic job cannot be claimed; it is tried again"
                ),
            }
        }
        let until_next = timetable
            .next(clock.now())
            .map_or(LOOK, |next| Duration::from_secs(u64::try_from(next - clock.now()).unwrap_or(0)));
        tokio::select! {
            () = sleep(until_next.clamp(Duration::from_millis(100), LOOK)) => {}
            () = node.stop.cancelled() => {}
        }
    }
}

/// How often a node compares its clock with that of the database, by which all nodes go.
const COMPARE: Duration = Duration::from_secs(60);

/// The database's clock, as this node knows it.
#[derive(Default)]
struct Clock {
    /// How many seconds this machine is ahead of it.
    ahead: i64,
    read: Option<Instant>,
}

impl Clock {
    fn now(&self) -> i64 {
        now() - self.ahead
    }

    async fn read(&mut self, schedule: &Schedule) {
        if self.read.is_some_and(|read| read.elapsed() < COMPARE) {
            return;
        }
        self.read = Some(Instant::now());
        match answered(schedule.now()).await {
            Ok(theirs) => {
                let ahead = now() - theirs;
                if ahead.abs_diff(self.ahead) > 30 {
                    tracing::warn!(
                        seconds = ahead,
                        "the clock of this machine is ahead of the database's, by which periodic jobs run"
                    );
                }
                self.ahead = ahead;
            }
            Err(reason) => tracing::debug!(reason, "the clock of the database cannot be read"),
        }
    }
}

/// Waits for the database, for a while.
async fn answered<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(CALL, call).await.unwrap_or_else(|_| Err(format!("the database did not answer within {CALL:?}")))
}

/// How a run came to its end.
enum Ended {
    Run(Result<(), Failure>),
    /// Another node has it, or nobody can tell.
    Lost,
    /// The grace of the stop was over first.
    Stopped,
}

/// What is written down of a run.
enum Outcome {
    Done,
    /// Any node runs it again after the pause.
    Again {
        reason: String,
        pause: Duration,
    },
    /// It runs again at its next due time.
    Failed {
        reason: String,
    },
}

/// Runs the job once, and writes down what came of it.
async fn run(job: &Job, claim: Claim<'_>, attempt: i64, claimed: Instant, node: &Node) {
    let (name, begun) = (job.name, Instant::now());
    tracing::info!(job = name, due = claim.due, attempt, "job began");
    let (work, state, classify) = (job.work.clone(), node.state.clone(), node.classify.clone());
    // All of the app's own code runs in the task, because it may panic.
    let working = async move { work(state).await.map_err(|failure| judged(failure, classify.as_deref())) };
    let mut working = AbortOnDropHandle::new(tokio::spawn(working));
    let ended = tokio::select! {
        done = &mut working => Ended::Run(done.unwrap_or_else(|error| Err(Failure::retry(format!("the job panicked: {error}"))))),
        () = lost(&node.schedule, claim, claimed) => Ended::Lost,
        () = stopped(node) => Ended::Stopped,
    };
    drop(working);
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let outcome = match ended {
        Ended::Run(Ok(())) => {
            tracing::info!(job = name, duration_ms, "job done");
            Outcome::Done
        }
        Ended::Run(Err(failure)) => failed(name, attempt, duration_ms, failure),
        Ended::Lost => {
            tracing::error!(job = name, "job abandoned: another node may have taken it over");
            return;
        }
        Ended::Stopped => {
            tracing::warn!(job = name, duration_ms, "job abandoned: the app stops; another node runs it");
            Outcome::Again { reason: "the app stopped".to_owned(), pause: Duration::ZERO }
        }
    };
    match written_down(claim, outcome, node).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::error!(job = name, "another node had taken the job over; it may have run twice")
        }
        Err(reason) => tracing::error!(
            job = name,
            reason,
            "the end of a job cannot be written; another node may run it again"
        ),
    }
}

/// Writes the outcome of a run. A run that is done and not written down is repeated, so one failed call is no reason to give up.
async fn written_down(claim: Claim<'_>, outcome: Outcome, node: &Node) -> Result<bool, String> {
    let mut failures = 0;
    loop {
        let written = match &outcome {
            Outcome::Done => answered(node.schedule.end(claim, DONE)).await,
            Outcome::Failed { reason } => answered(node.schedule.end(claim, reason)).await,
            // A run that is to be repeated is one that nobody has: any node takes it over when its lease ends.
            Outcome::Again { reason, pause } => answered(node.schedule.leave(claim, *pause, reason)).await,
        };
        failures += 1;
        match written {
            // The answer to an earlier call may have been lost.
            Ok(false) if failures > 1 => {
                return Err(
                    "an earlier call may have written it, or another node has taken the job over".to_owned()
                );
            }
            Err(_) if failures < TRIES && !node.stop.is_cancelled() => {}
            written => return written,
        }
        tokio::select! {
            () = sleep(Duration::from_secs(1) * failures) => {}
            () = node.stop.cancelled() => {}
        }
    }
}

/// Decides whether a run that has failed is repeated.
fn failed(job: &str, attempt: i64, duration_ms: u64, Failure { kind, reason, .. }: Failure) -> Outcome {
    if kind == FailureKind::Reject || attempt >= ATTEMPTS {
        tracing::error!(job, duration_ms, attempt, reason, "job failed; it runs again at its next due time");
        return Outcome::Failed { reason };
    }
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(16);
    let pause = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    tracing::warn!(job, duration_ms, attempt, ?pause, reason, "job failed; it is tried again");
    Outcome::Again { reason, pause }
}

/// Extends the lease, and completes when the run belongs to this node no longer, or that is not known.
async fn lost(schedule: &Schedule, claim: Claim<'_>, claimed: Instant) {
    let mut ticks = interval(EXTEND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut until = claimed + LEASE;
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        match timeout(EXTEND, schedule.extend(claim, LEASE)).await {
            Ok(Ok(true)) => until = begun + LEASE,
            Ok(Ok(false)) => return,
            Ok(Err(reason)) => {
                tracing::warn!(job = claim.job, reason, "the lease of a job could not be extended")
            }
            Err(_) => {
                tracing::warn!(job = claim.job, "the lease of a job could not be extended: no answer in time")
            }
        }
        if Instant::now() + EXTEND >= until {
            return;
        }
    }
}

async fn stopped(node: &Node) {
    node.stop.cancelled().await;
    sleep(node.grace).await;
}
