use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZero;

use crate::always;
use crate::bundle::{Bundle, Manifest};
use crate::dialect::Dialect;
use crate::digest::Digest;
use crate::directive::{self, Directives};
use crate::finding::{Finding, Severity};
use crate::folder::{Content, Entry, Folder};
use crate::history::{History, Kind, Script, always_digest};
use crate::lexer::lex;
use crate::lock::RULES_VERSION;
use crate::name::{FileName, LOCK_FILE, SCHEMA_LOCK_FILE};
use crate::rule::Rule;
use crate::rules::{self, Source, numbers::Numbers};
use crate::text::normalise;

/// How a folder is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// The database that the scripts are written for.
    pub dialect: Dialect,
    /// Whether drafts are errors, as they are in a release build.
    pub release: bool,
    /// Whether a sealed script whose lock names the version of these rules is not parsed again, as in a build.
    pub trusts_lock: bool,
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The history; `None` if a finding is an error.
    pub history: Option<History>,
    /// Every problem, in file order.
    pub findings: Vec<Finding>,
    /// The normalised texts that findings point into, by path.
    pub sources: HashMap<String, String>,
}

/// The scripts that passed an earlier check. A new check does not hash and parse the same text again.
#[derive(Debug, Default)]
pub struct Known<'a> {
    scripts: HashMap<String, (Script, &'a [u8])>,
}

impl<'a> Known<'a> {
    /// Takes the scripts of an earlier bundle, or none if the bundle has another version or dialect.
    #[must_use]
    pub fn from_bundle(bundle: &'a Bundle<'_>, dialect: Dialect) -> Self {
        let Ok(manifest) = Manifest::parse(&bundle.manifest) else { return Self::default() };
        if manifest.dialect != dialect {
            return Self::default();
        }
        let scripts = manifest
            .scripts(&bundle.scripts)
            .filter_map(|(script, bytes)| Some((script.file_name(), (script, bytes?))))
            .collect();
        Self { scripts }
    }

    /// A script that the earlier check found sealed, if its text is the same. A draft is always checked again.
    fn same(&self, name: &str, bytes: &[u8]) -> Option<&Script> {
        let (script, known) = self.scripts.get(name)?;
        (script.sealed && *known == bytes).then_some(script)
    }
}

/// Checks a folder against every rule and reports all problems at once.
///
/// The order is: names, numbers, then each script's content, then the seal, then each script's SQL. If the
/// content of a script is not text, the check ignores its SQL.
#[must_use]
pub fn check(folder: &Folder, options: CheckOptions, known: &Known<'_>) -> Checked {
    let mut findings = rules::unexpected_file::check(folder);
    let numbers = Numbers::of(folder);
    findings.extend(rules::numbers::check(folder, &numbers));

    let (lock, lock_findings) = rules::sealed::read_lock(folder);
    let lock_is_broken = !lock_findings.is_empty();
    findings.extend(lock_findings);
    let sealed: HashMap<&str, Digest> =
        lock.lines.iter().map(|line| (line.name.as_str(), line.digest)).collect();

    let options =
        CheckOptions { trusts_lock: options.trusts_lock && lock.rules == Some(RULES_VERSION), ..options };
    let mut examined = examine_all(folder, options, known, &sealed);
    leave_out_blanks(&mut examined);
    let digests: HashMap<&str, Digest> = examined
        .iter()
        .filter_map(|examined| Some((examined.name, examined.script.as_ref()?.digest)))
        .collect();
    if !lock_is_broken {
        findings.extend(rules::sealed::check(folder, &lock, &digests));
        findings.extend(rules::sealed::drafts(folder, &lock, options.release));
    }

    let mut scripts = Vec::with_capacity(examined.len());
    let (mut always, mut seeds) = (Vec::new(), Vec::new());
    let mut sources = HashMap::new();
    for Examined { name, script, findings: of_script } in examined {
        if let Some(script) = script {
            if !of_script.is_empty() {
                sources.insert(folder.path_of(name), script.text().to_owned());
            }
            match script.kind {
                Kind::Always => always.push(script),
                Kind::Seed => seeds.push(script),
                Kind::Baseline | Kind::Script => scripts.push(script),
            }
        }
        findings.extend(of_script);
    }
    let (always, disordered) = always::order(folder, always);
    findings.extend(disordered);
    let (schema, schema_findings) = rules::schema::check(folder, &lock, always_digest(&always));
    if !lock_is_broken {
        findings.extend(schema_findings);
    }
    for name in [LOCK_FILE, SCHEMA_LOCK_FILE] {
        if let Some(text) = source(folder, name) {
            sources.insert(folder.path_of(name), text);
        }
    }
    findings.sort_by_cached_key(|finding| {
        let start = finding.span.as_ref().map(|span| span.start);
        (file_order(folder, &finding.file), start, finding.rule)
    });
    let schema = schema.into();
    let history = history(folder, options.dialect, scripts, &findings);
    let history = history.map(|history| History { always, seeds, schema, ..history });
    Checked { history, findings, sources }
}

/// Leaves out the new scripts at the end that hold nothing yet: a build must not wait for their first statement. One that others
/// follow has a number that must run.
fn leave_out_blanks(examined: &mut [Examined<'_>]) {
    let mut is_last = true;
    let numbered = |examined: &&mut Examined<'_>| {
        matches!(FileName::parse(examined.name), FileName::Baseline { .. } | FileName::Script { .. })
    };
    for Examined { script, findings, .. } in examined.iter_mut().rev().filter(numbered) {
        let blank = findings
            .iter_mut()
            .find(|finding| finding.rule == Rule::Content && finding.severity == Severity::Warning);
        match blank {
            Some(_) if is_last => *script = None,
            Some(finding) => {
                finding.message = "the script holds no statement, and another one follows it".to_owned();
                finding.help =
                    "write a statement, or delete the file and give its number to the next one".to_owned();
                finding.severity = Severity::Error;
            }
            None => is_last = false,
        }
    }
}

struct Examined<'a> {
    name: &'a str,
    script: Option<Script>,
    findings: Vec<Finding>,
}

/// The parser recurses. In an unoptimised build, each level of a nested expression takes some kilobytes.
const STACK_BYTES: usize = 64 << 20;

/// Examines the scripts on all cores, because a cold build parses all of them.
fn examine_all<'a>(
    folder: &'a Folder,
    options: CheckOptions,
    known: &Known<'_>,
    sealed: &HashMap<&str, Digest>,
) -> Vec<Examined<'a>> {
    let mut scripts: Vec<_> = folder.entries.iter().filter_map(Numbered::of).collect();
    scripts.sort_by_key(|script| (script.kind, script.number));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = scripts.len().div_ceil(threads).max(64);
    std::thread::scope(|scope| {
        let workers: Vec<_> = scripts
            .chunks(share)
            .map(|share| {
                let examine = move || {
                    share.iter().map(|script| script.examine(folder, options, known, sealed)).collect()
                };
                std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, examine)
                    .expect("the system can start a thread")
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|examined: Result<Vec<_>, _>| examined.expect("no rule panics")).collect()
    })
}

/// An entry whose name has the number of a script or a baseline.
struct Numbered<'a> {
    kind: Kind,
    number: i32,
    /// The file.
    name: &'a str,
    /// The name in `always/`.
    stem: String,
    bytes: Result<&'a [u8], &'a str>,
}

impl<'a> Numbered<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let (kind, number, stem) = match FileName::parse(&entry.name) {
            FileName::Baseline { through } => (Kind::Baseline, through, String::new()),
            FileName::Script { number } => (Kind::Script, number, String::new()),
            FileName::Always { name } => (Kind::Always, 0, name),
            FileName::Seed { name } => (Kind::Seed, 0, name),
            _ => return None,
        };
        let bytes = match &entry.content {
            Content::File(bytes) => Ok(bytes.as_slice()),
            Content::Unreadable(reason) => Err(reason.as_str()),
            Content::Other(_) => return None,
        };
        Some(Self { kind, number, name: &entry.name, stem, bytes })
    }

    fn examine(
        &self,
        folder: &Folder,
        options: CheckOptions,
        known: &Known<'_>,
        sealed: &HashMap<&str, Digest>,
    ) -> Examined<'a> {
        let name = self.name;
        let unusable = |finding| Examined { name, script: None, findings: vec![finding] };
        let bytes = match self.bytes {
            Ok(bytes) => bytes,
            Err(reason) => {
                let message = format!("the file cannot be read: {reason}");
                let help = "correct its permissions, or restore it";
                return unusable(Finding::file(Rule::Content, folder.path_of(name), message, help));
            }
        };
        if let Some(same) = known.same(name, bytes).filter(|same| sealed.get(name) == Some(&same.digest)) {
            let script = Script { bytes: Cow::Owned(bytes.to_vec()), ..same.clone() };
            return Examined { name, script: Some(script), findings: Vec::new() };
        }
        let path = folder.path_of(name);
        let text = match normalise(&path, bytes) {
            Ok(text) => text,
            Err(finding) => return unusable(finding),
        };
        let digest = Digest::of(text.as_bytes());
        let is_sealed = sealed.get(name) == Some(&digest);
        let draft_of = if sealed.contains_key(name) { None } else { Some(self.kind) };
        let (directives, findings) = match is_sealed && options.trusts_lock {
            true => (directive::of_header(&text, options.dialect), Vec::new()),
            false => judge(&path, &text, options, draft_of),
        };
        let script = Script {
            kind: self.kind,
            number: self.number,
            name: self.stem.clone(),
            digest,
            directives,
            sealed: is_sealed,
            bytes: Cow::Owned(text.into_owned().into_bytes()),
        };
        Examined { name, script: Some(script), findings }
    }
}

/// Applies the rules about one text. The rules about deployment apply only to the draft of a script: a baseline
/// runs on an empty database, and the text of a sealed script is final.
fn judge(
    path: &str,
    text: &str,
    options: CheckOptions,
    draft_of: Option<Kind>,
) -> (Directives, Vec<Finding>) {
    let tokens = lex(text, options.dialect);
    let is_new = draft_of == Some(Kind::Script) && !options.release;
    let content = rules::content::check(path, text, &tokens, is_new);
    let (directives, mut findings) = directive::parse(path, text, &tokens);
    findings
        .extend(draft_of.into_iter().flat_map(|kind| rules::repeatable::directives(kind, path, &directives)));
    if !content.is_empty() {
        findings.extend(content);
        return (directives, findings);
    }
    let is_draft = draft_of.is_some();
    let source = Source::new(path, text, &tokens, is_draft, &directives);
    let syntax = rules::syntax::check(&source, options.dialect);
    let readable = syntax.iter().all(|finding| finding.severity == Severity::Warning);
    findings.extend(syntax);
    if readable {
        findings.extend(rules::transaction::check(&source, options.dialect));
        if matches!(draft_of, Some(Kind::Always | Kind::Seed)) {
            findings.extend(rules::repeatable::check(&source, options.dialect));
        }
        // What another tool ran long ago is imported as it was.
        if draft_of == Some(Kind::Script) && directives.was.is_none() {
            findings.extend(rules::contract::check(&source, options.dialect));
            findings.extend(rules::lint::check(&source, options.dialect, options.release));
        }
    }
    (directives, findings)
}

fn source(folder: &Folder, name: &str) -> Option<String> {
    let entry = folder.entries.iter().find(|entry| entry.name == name)?;
    match &entry.content {
        Content::File(bytes) => normalise("", bytes).ok().map(Cow::into_owned),
        _ => None,
    }
}

/// The order in which a person reads: the folder, the baseline, the scripts by number, all other files.
fn file_order(folder: &Folder, path: &str) -> (u8, i32, String) {
    let name = path.strip_prefix(&folder.path).unwrap_or(path).trim_start_matches('/');
    match FileName::parse(name) {
        _ if name.is_empty() => (0, 0, String::new()),
        FileName::Baseline { through } => (1, through, String::new()),
        FileName::Script { number } => (2, number, String::new()),
        _ => (3, 0, name.to_owned()),
    }
}

/// A history of the numbered scripts.
fn history(folder: &Folder, dialect: Dialect, scripts: Vec<Script>, findings: &[Finding]) -> Option<History> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return None;
    }
    let mut scripts = scripts.into_iter();
    Some(History {
        folder: folder.path.clone(),
        dialect,
        baseline: scripts.next()?,
        scripts: scripts.collect(),
        always: Vec::new(),
        seeds: Vec::new(),
        schema: Cow::Borrowed(""),
    })
}
