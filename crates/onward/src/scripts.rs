use include_dir::Dir;
use onward_script::{Bundle, BundleError, History};

/// The scripts that the build checked and embedded, as [`scripts!`](crate::scripts) returns them.
#[derive(Debug, Clone)]
pub struct Scripts {
    #[doc(hidden)]
    pub dir: &'static Dir<'static>,
    #[doc(hidden)]
    pub name: &'static str,
    #[doc(hidden)]
    pub version: &'static str,
}

/// The scripts that `onward_build::embed` checked in this package's `build.rs`.
#[macro_export]
macro_rules! scripts {
    () => {{
        use $crate::__private::include_dir;
        static DIR: include_dir::Dir<'static> = include_dir::include_dir!("$OUT_DIR/onward");
        $crate::Scripts { dir: &DIR, name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
    }};
}

/// How the folder of the project differs from what the build embedded, in words. A project without the folder is none: the
/// binary runs elsewhere.
#[cfg(feature = "local")]
pub(crate) fn stale(history: &History, project: &std::path::Path) -> Option<String> {
    let folder = onward_build::read_folder(project, &history.folder).ok()?;
    let difference = onward_script::stale(history, &folder)?;
    Some(embeds_others(history, &difference))
}

/// The sentence for a binary whose scripts are not those of the folder.
#[cfg(feature = "local")]
pub(crate) fn embeds_others(history: &History, difference: &str) -> String {
    format!("this binary embeds other scripts than {}/ holds: {difference}", history.folder)
}

/// What to do about scripts that cargo has not noticed: it compares times, and looks again when the build script has changed.
#[cfg(feature = "local")]
pub(crate) const REBUILD: &str = "run `touch build.rs`, then build again";

impl Scripts {
    /// Reads the embedded history without copying the texts.
    pub(crate) fn history(&self) -> Result<History, BundleError> {
        let file = |name: &str| self.dir.get_file(name).map(include_dir::File::contents);
        let text =
            |name: &str| file(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        Bundle::read(text("manifest"), file("scripts.sql").unwrap_or_default(), text("schema.lock"))
    }
}
