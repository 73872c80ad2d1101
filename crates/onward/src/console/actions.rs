//! Redrives and deletions that somebody has begun on a page.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::console::queue::QueueSite;
use crate::letters::client::QueueClient;
use crate::letters::delete::{Deleted, delete};
use crate::letters::redrive::{Redriven, redrive};
use crate::letters::selection::Selection;
use crate::process::exit::CommandError;

/// How long the stop waits for an action to give back what it holds.
const MOST_AT_STOP: Duration = Duration::from_secs(10);

/// The most dead letters that one action sends.
const MOST: usize = 1_000_000;

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Redrive,
    Delete,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Delete => "delete",
        }
    }

    /// What a button says.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Redrive => "Redrive",
            Self::Delete => "Delete",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Redrive, Self::Delete].into_iter().find(|kind| kind.word() == word)
    }
}

/// An action that runs or has ended.
#[derive(Debug)]
pub(super) struct Action {
    pub number: usize,
    pub kind: Kind,
    pub queue: &'static str,
    pub selection: Selection,
    pub who: String,
    pub began: Instant,
    /// Ends it after its current batch.
    pub stop: CancellationToken,
    state: Mutex<Progress>,
}

/// How far an action is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// How many letters were sent or deleted.
    pub done: usize,
    /// How many of them died again meanwhile.
    pub again: usize,
    /// How many stay.
    pub left: usize,
    /// How many letters SQS counts in flight at its end: it has not seen those.
    pub elsewhere: u64,
    /// How it ended, once it has.
    pub ended: Option<Result<(), String>>,
}

impl Action {
    fn state(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Progress {
        self.state().clone()
    }

    fn runs(&self) -> bool {
        self.state().ended.is_none()
    }
}

/// All actions since the start.
#[derive(Debug, Default)]
pub(super) struct Actions {
    all: Mutex<Vec<Arc<Action>>>,
    /// Actions and looks, which give back what they hold before the process ends.
    pub tasks: TaskTracker,
}

impl Actions {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Action>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, number: usize) -> Option<Arc<Action>> {
        self.all().get(number).cloned()
    }

    /// The action that runs on a queue.
    pub(super) fn running(&self, queue: &str) -> Option<Arc<Action>> {
        self.all().iter().find(|action| action.queue == queue && action.runs()).cloned()
    }

    /// Those of a queue, the last one first.
    pub(super) fn of_queue(&self, queue: &str) -> Vec<Arc<Action>> {
        self.all().iter().rev().filter(|action| action.queue == queue).take(10).cloned().collect()
    }

    /// Begins an action, unless one runs on this queue: two would hide the letters from each other.
    fn begin(
        &self,
        kind: Kind,
        queue: &'static str,
        selection: Selection,
        who: String,
        stop: CancellationToken,
    ) -> Result<Arc<Action>, Arc<Action>> {
        let mut all = self.all();
        if let Some(running) = all.iter().find(|action| action.queue == queue && action.runs()) {
            return Err(running.clone());
        }
        let (number, began) = (all.len(), Instant::now());
        let action =
            Arc::new(Action { number, kind, queue, selection, who, began, stop, state: Mutex::default() });
        all.push(action.clone());
        Ok(action)
    }

    /// Waits for what still runs at the stop; each action ends with its current batch.
    pub(super) async fn end(&self) {
        self.tasks.close();
        if tokio::time::timeout(MOST_AT_STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "console: an action did not end in time; the letters that it holds come back by themselves"
            );
        }
    }

    /// Begins an action on a queue of the app. An error is the one that runs already.
    pub(super) fn start(
        &self,
        queue: &Arc<QueueSite>,
        kind: Kind,
        selection: Selection,
        who: String,
        stop: &CancellationToken,
    ) -> Result<Arc<Action>, Arc<Action>> {
        let action = self.begin(kind, queue.watched.queue, selection, who, stop.child_token())?;
        let (who, name, which) = (&action.who, action.queue, &action.selection);
        tracing::info!(who, queue = name, action = kind.word(), ?which, "console: an action began");
        let (queue, running) = (queue.clone(), action.clone());
        self.tasks.spawn(async move { run(&queue, &running).await });
        Ok(action)
    }
}

async fn run(queue: &QueueSite, action: &Action) {
    let _hands = queue.letters.hands().await;
    let client = &queue.counted.queue;
    let outcome = match client.dead_letters().await {
        Ok(dead) => act(client, &dead, action).await,
        Err(error) => Err(error),
    };
    queue.letters.forget();
    queue.counted.forget().await;
    let counts = queue.counted.look().await.value().and_then(|backlog| backlog.dead).flatten();
    action.state().elsewhere = counts.map_or(0, |counts| counts.in_flight);
    let outcome = outcome.map_err(|error| format!("{}; {}", error.message, error.help));
    let outcome = match outcome {
        Ok(()) if action.stop.is_cancelled() => {
            Err("it was stopped before the end; what was not done is where it was".to_owned())
        }
        outcome => outcome,
    };
    let Progress { done, again, left, .. } = action.progress();
    let error = outcome.as_ref().err().cloned();
    action.state().ended = Some(outcome);
    tracing::info!(
        who = action.who,
        queue = action.queue,
        action = action.kind.word(),
        done,
        again,
        left,
        error,
        "console: an action ended"
    );
}

async fn act(client: &QueueClient, dead: &str, action: &Action) -> Result<(), CommandError> {
    let Action { selection, stop, .. } = action;
    match action.kind {
        Kind::Redrive => {
            let mut report = |so_far: Redriven| note(action, so_far.sent, so_far.again, so_far.left);
            let (last, outcome) = redrive(client, dead, selection, MOST, stop, &mut report).await;
            report(last);
            outcome
        }
        Kind::Delete => {
            let mut report = |so_far: Deleted| note(action, so_far.deleted, 0, so_far.stay);
            let (last, outcome) = delete(client, dead, selection, stop, &mut report).await;
            report(last);
            outcome
        }
    }
}

fn note(action: &Action, done: usize, again: usize, left: usize) {
    let mut state = action.state();
    (state.done, state.again, state.left) = (done, again, left);
}
