//! The imports between the files of a crate, from the paths that begin with `crate`, `super` and `self`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tidy::{root, sources};

/// The files of a crate, each with the files that it imports, by their paths below `src`.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn imports(package: &str) -> Imports {
    let folder = root().join("crates").join(package).join("src");
    let texts: BTreeMap<String, String> = sources(&folder)
        .iter()
        .map(|path| (relative(path, &folder), fs::read_to_string(path).expect("is readable")))
        .collect();
    let imported = |file: &str, text: &str| -> BTreeSet<String> {
        let paths = paths(text).into_iter().map(|path| absolute(file, &path));
        paths.filter_map(|path| file_of(&path, &texts)).filter(|other| other != file).collect()
    };
    texts.iter().map(|(file, text)| (file.clone(), imported(file, text))).collect()
}

fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).expect("is inside").to_string_lossy().replace('\\', "/")
}

/// Every path in the code that begins inside the crate; for `a::{b, c::d}` each branch.
fn paths(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let starts = ["crate::", "super::", "self::"];
    let mut found = Vec::new();
    for (at, _) in code.char_indices() {
        let begins = |start: &&str| code[at..].starts_with(*start);
        let is_word_inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
        if !is_word_inside && starts.iter().any(begins) {
            branches(&code[at..], "", &mut found);
        }
    }
    found
}

/// Splits the path at the beginning of a text into its branches, and returns what follows it.
fn branches<'a>(text: &'a str, before: &str, found: &mut Vec<String>) -> &'a str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let path = format!("{before}{head}");
    let Some(mut inside) = rest.strip_prefix('{') else {
        // `super::*` is in a module of tests, where it names the file itself.
        if path != "super::" {
            found.push(path);
        }
        return rest;
    };
    loop {
        inside = inside.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if let Some(rest) = inside.strip_prefix('}') {
            return rest;
        }
        if inside.is_empty() {
            return inside;
        }
        inside = branches(inside, &path, found);
        // `a as b` and `*` name no other file.
        let next = inside.find([',', '}']).unwrap_or(inside.len());
        inside = &inside[next..];
    }
}

/// The path from the root of the crate.
fn absolute(file: &str, path: &str) -> Vec<String> {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut at: Vec<String> = match module {
        "lib" => Vec::new(),
        module => module.split('/').map(str::to_owned).collect(),
    };
    for (index, segment) in path.split("::").enumerate() {
        match segment {
            "crate" if index == 0 => at.clear(),
            "self" if index == 0 => {}
            "super" => drop(at.pop()),
            segment => at.push(segment.to_owned()),
        }
    }
    at
}

/// The file of the longest part of a path that is a module.
fn file_of(path: &[String], texts: &BTreeMap<String, String>) -> Option<String> {
    (1..=path.len()).rev().find_map(|length| {
        let module = path[..length].join("/");
        [format!("{module}.rs"), format!("{module}/mod.rs")].into_iter().find(|file| texts.contains_key(file))
    })
}

/// Groups of files that import each other, directly or through other files.
pub(crate) fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let reachable = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<_> = imports[from].iter().collect();
        while let Some(file) = open.pop() {
            if seen.insert(file.clone()) {
                open.extend(&imports[file]);
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = imports.keys().map(|file| (file.clone(), reachable(file))).collect();
    let in_circle = all.iter().filter(|(file, reached)| reached.contains(*file));
    in_circle
        .map(|(file, reached)| reached.iter().filter(|other| all[*other].contains(file)).cloned().collect())
        .collect()
}

#[test]
fn paths_are_read_from_code() {
    let code = "use crate::a::{b::C, d};\nuse super::e;\n// use crate::f;\nlet x = crate::g::h(1);\nuse x::self_y;\nuse super::*;";
    assert_eq!(paths(code), ["crate::a::b::C", "crate::a::d", "super::e", "crate::g::h"]);
}

#[test]
fn a_circle_is_found() {
    let import = |file: &str, others: &[&str]| {
        (file.to_owned(), others.iter().map(|other| (*other).to_owned()).collect::<BTreeSet<_>>())
    };
    let imports =
        Imports::from([import("a", &["b"]), import("b", &["c"]), import("c", &["a"]), import("d", &["a"])]);
    assert_eq!(circles(&imports), BTreeSet::from([vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]]));
}
