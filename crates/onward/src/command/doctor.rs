//! `doctor`: one line for each check, with its result and the remedy. It changes nothing.

use serde_json::{Value, json};

use crate::checks::{self, Check, Verdict, Whole, Worked};
use crate::config::context::Context;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::serve;

pub(crate) async fn run(
    context: &Context,
    worked: &[Worked],
    whole: &Whole,
    as_json: bool,
) -> Result<Exit, CommandError> {
    let mut checks = checks::all(context, worked, whole).await;
    checks.extend(
        serve::wrong_settings(context).into_iter().map(|error| checks::failed("configuration", error)),
    );
    let is_well = checks.iter().all(|check| check.verdict != Verdict::Wrong);
    if as_json {
        let all: Vec<_> = checks.iter().map(as_value).collect();
        data(&json!({"healthy": is_well, "checks": all}).to_string())?;
    } else {
        for check in &checks {
            data(&format!("{:6} {:24} {}", check.verdict.word(), check.what, check.says))?;
            if let Some(help) = &check.help {
                data(&format!("       {:24} help: {help}", ""))?;
            }
        }
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

fn as_value(check: &Check) -> Value {
    json!({"check": check.what, "verdict": check.verdict.word(), "says": check.says, "help": check.help})
}
