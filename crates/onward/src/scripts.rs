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

impl Scripts {
    /// Reads the embedded history without copying the texts.
    pub(crate) fn history(&self) -> Result<History, BundleError> {
        let file = |name: &str| self.dir.get_file(name).map(include_dir::File::contents);
        let manifest = file("manifest").and_then(|bytes| std::str::from_utf8(bytes).ok());
        Bundle::read(manifest.unwrap_or_default(), file("scripts.sql").unwrap_or_default())
    }
}
