//! `script new`: the next script.

use onward_build::read_folder;
use onward_script::{FileName, Finding, Rule, render, script_name};

use super::project::Project;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

impl Project<'_> {
    pub(super) fn write_next(&self, title: &str) -> Result<Exit, CommandError> {
        let title = title.trim();
        if title.is_empty() || title.contains(['\n', '\r']) {
            let help = "give it as one argument: `app script new \"Orders get a currency\"`";
            return Err(CommandError::new(Exit::Usage, "the title must be one line of text", help));
        }
        let unsound = |finding: &&Finding| {
            matches!(finding.rule, Rule::Baseline | Rule::Sequence | Rule::UnexpectedFile)
        };
        if let Some(finding) = self.checked(false).findings.iter().find(unsound) {
            let help = "correct the folder first: the number of the next script follows from it";
            let message = format!("there is no next number yet\n{}", render::render(finding, None));
            return Err(CommandError::new(Exit::Failed, message, help));
        }
        let read = read_folder(self.root, self.folder).map_err(|finding| unreadable(&finding))?;
        let last = read.entries.iter().filter_map(|entry| match FileName::parse(&entry.name) {
            FileName::Baseline { through } => Some(through),
            FileName::Script { number } => Some(number),
            _ => None,
        });
        let next = last.max().unwrap_or(0).checked_add(1).ok_or_else(|| {
            let help = "call the baseline by the number of the last script that it contains";
            CommandError::new(Exit::Failed, "there is no number after the last one", help)
        })?;
        let name = script_name(next);
        self.write(&name, &format!("-- onward: title {title}\n\n"))?;
        data(&format!("{}/{name}", self.folder))?;
        Ok(Exit::Done)
    }
}

fn unreadable(finding: &Finding) -> CommandError {
    CommandError::new(Exit::Failed, &finding.message, &finding.help)
}
