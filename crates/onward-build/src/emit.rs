use std::fs;
use std::path::Path;

use onward_script::{Bundle, History};

const MANIFEST: &str = "manifest";
const SCRIPTS: &str = "scripts.sql";
const SCHEMA: &str = "schema.lock";

/// What the last build embedded, if there was one.
pub(crate) fn read(out: &Path) -> Option<Bundle<'static>> {
    let manifest = fs::read_to_string(out.join(MANIFEST)).ok()?;
    let scripts = fs::read(out.join(SCRIPTS)).ok()?;
    let schema = fs::read_to_string(out.join(SCHEMA)).ok()?;
    Some(Bundle { manifest: manifest.into(), scripts: scripts.into(), schema: schema.into() })
}

/// Writes the embedded files. It removes the old manifest first and writes the new one last, so an interrupted
/// build never leaves a manifest beside other texts.
pub(crate) fn write(out: &Path, history: &History) {
    let bundle = Bundle::write(history);
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    };
    fs::create_dir_all(out).unwrap_or_else(|error| panic!("cannot create {}: {error}", out.display()));
    match fs::remove_file(out.join(MANIFEST)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("cannot replace the manifest in {}: {error}", out.display())
        }
        _ => {}
    }
    write(SCRIPTS, &bundle.scripts);
    write(SCHEMA, bundle.schema.as_bytes());
    write(MANIFEST, bundle.manifest.as_bytes());
}
