use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::dialect::Dialect;
use crate::digest::Digest;
use crate::directive::Directives;
use crate::history::{History, Kind, Script};
use crate::name::FileName;

/// The embedded form of a history: a manifest, and the texts one after the other.
///
/// All texts are in one file, because a compiler embeds one large file much faster than thousands of small ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// A header and a line for each script: name, digest, length, flags, title, old name.
    pub manifest: Cow<'a, str>,
    /// The normalised texts in the manifest's order.
    pub scripts: Cow<'a, [u8]>,
    /// The text of `schema.lock`; empty without one.
    pub schema: Cow<'a, str>,
}

/// An embedded history that cannot be read: another version wrote it, or it is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleError {
    line: usize,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the embedded manifest is not readable; rebuild the app", self.line)
    }
}

impl std::error::Error for BundleError {}

/// The first line of a manifest. It changes with the format and with the rules, because an older bundle does
/// not prove that a script passed the current rules.
const FORMAT: &str = concat!("onward-bundle 2 ", env!("CARGO_PKG_VERSION"));

impl Bundle<'static> {
    /// Writes a history.
    #[must_use]
    pub fn write(history: &History) -> Self {
        let mut manifest = format!("{FORMAT}\n{}\n{}\n", history.dialect.as_str(), history.folder);
        let length = history.all().chain(&history.always).map(|script| script.bytes.len()).sum();
        let mut scripts = Vec::with_capacity(length);
        for script in history.all().chain(&history.always) {
            // The order is that of the lines, so `after` has done its work.
            let Directives { no_transaction, contract, title, syntax_unchecked, was, after: _ } =
                &script.directives;
            let flag = |on: bool, letter: char| if on { letter } else { '-' };
            writeln!(
                manifest,
                "{} {} {} {}{}{}{} {}\t{}",
                script.file_name(),
                script.digest,
                script.bytes.len(),
                flag(script.sealed, 's'),
                flag(*no_transaction, 'n'),
                flag(*contract, 'c'),
                flag(*syntax_unchecked, 'u'),
                title.as_deref().unwrap_or_default(),
                was.as_deref().unwrap_or_default(),
            )
            .expect("a String takes every write");
            scripts.extend_from_slice(&script.bytes);
        }
        Self {
            manifest: manifest.into(),
            scripts: scripts.into(),
            schema: history.schema.clone().into_owned().into(),
        }
    }

    /// Reads an embedded history without copying its texts.
    ///
    /// # Errors
    ///
    /// If [`Bundle::write`] of this version did not write it.
    pub fn read(
        manifest: &'static str,
        scripts: &'static [u8],
        schema: &'static str,
    ) -> Result<History, BundleError> {
        let parsed = Manifest::parse(manifest)?;
        let mut all = parsed.scripts(scripts).map(|(script, bytes)| {
            let bytes = bytes.ok_or(BundleError { line: 1 })?;
            Ok(Script { bytes: Cow::Borrowed(bytes), ..script })
        });
        let baseline = all.next().ok_or(BundleError { line: 3 })??;
        let rest = all.collect::<Result<Vec<_>, _>>()?;
        let (always, scripts) = rest.into_iter().partition(|script| script.kind == Kind::Always);
        let folder = parsed.folder.to_owned();
        Ok(History {
            folder,
            dialect: parsed.dialect,
            baseline,
            scripts,
            always,
            seeds: Vec::new(),
            schema: Cow::Borrowed(schema),
        })
    }
}

pub(crate) struct Manifest<'a> {
    pub dialect: Dialect,
    pub folder: &'a str,
    lines: Vec<(Script, usize)>,
}

impl<'a> Manifest<'a> {
    pub(crate) fn parse(manifest: &'a str) -> Result<Self, BundleError> {
        let mut lines = manifest.lines().enumerate();
        let mut header = |line: usize| lines.next().map(|(_, text)| text).ok_or(BundleError { line });
        if header(1)? != FORMAT {
            return Err(BundleError { line: 1 });
        }
        let dialect = match header(2)? {
            "postgres" => Dialect::Postgres,
            "sqlserver" => Dialect::SqlServer,
            _ => return Err(BundleError { line: 2 }),
        };
        let folder = header(3)?;
        let lines = lines
            .map(|(index, line)| script_line(line).ok_or(BundleError { line: index + 1 }))
            .collect::<Result<_, _>>()?;
        Ok(Self { dialect, folder, lines })
    }

    /// Each script, still without its text, and the bytes of that text: `None` where the texts end too early.
    pub(crate) fn scripts<'b>(&self, scripts: &'b [u8]) -> impl Iterator<Item = (Script, Option<&'b [u8]>)> {
        let mut at = 0;
        self.lines.iter().map(move |(script, length)| {
            let bytes = scripts.get(at..at + length);
            at += length;
            (script.clone(), bytes)
        })
    }
}

fn script_line(line: &str) -> Option<(Script, usize)> {
    let mut fields = line.splitn(5, ' ');
    let (kind, number, name) = match FileName::parse(fields.next()?) {
        FileName::Baseline { through } => (Kind::Baseline, through, String::new()),
        FileName::Script { number } => (Kind::Script, number, String::new()),
        FileName::Always { name } => (Kind::Always, 0, name),
        _ => return None,
    };
    let digest = Digest::parse(fields.next()?)?;
    let length = fields.next()?.parse().ok()?;
    let flags = fields.next()?;
    // A title may hold a tab, the name of an old script may not.
    let (title, was) = fields.next()?.rsplit_once('\t')?;
    let given = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    let directives = Directives {
        no_transaction: flags.contains('n'),
        contract: flags.contains('c'),
        title: given(title),
        syntax_unchecked: flags.contains('u'),
        was: given(was),
        after: Vec::new(),
    };
    let sealed = flags.contains('s');
    Some((Script { kind, number, name, digest, directives, sealed, bytes: Cow::Borrowed(&[]) }, length))
}
