//! What a user of the libraries may name, as text: a change of it is seen in a review.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{
    Attribute, Block, Expr, ExprInfer, Fields, File, Ident, ImplItem, Item, ItemImpl, Token, TraitItem, Type,
    TypeInfer, UseTree, Visibility,
};

use crate::tidy::root;

/// Through how many exports an item is looked for.
const EXPORTS: usize = 4;

#[test]
fn the_public_api_is_as_it_was_reviewed() {
    for package in [
        "onward",
        "onward-build",
        "onward-local",
        "onward-macros",
        "onward-migrate",
        "onward-script",
        "onward-worker",
    ] {
        let text = Library::read(&root().join("crates").join(package).join("src")).describe();
        assert!(text.lines().count() > 2, "{package}: {text}");
        insta::assert_snapshot!(format!("api-{package}"), text);
    }
}

/// The items of a library by the path of their module.
struct Library {
    modules: BTreeMap<Vec<String>, Vec<Item>>,
}

impl Library {
    fn read(folder: &Path) -> Self {
        let mut library = Self { modules: BTreeMap::new() };
        library.add(&[], parsed(&folder.join("lib.rs")).items, folder);
        library
    }

    /// Adds a module, and those in it; `folder` has the files of the latter.
    fn add(&mut self, path: &[String], items: Vec<Item>, folder: &Path) {
        for item in &items {
            let Item::Mod(module) = item else { continue };
            if is_of_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let (path, below) = ([path, &[name.clone()][..]].concat(), folder.join(&name));
            let items = match &module.content {
                Some((_, items)) => items.clone(),
                None => {
                    let file = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                    parsed(&file.into_iter().find(|file| file.exists()).expect("a module has its file")).items
                }
            };
            self.add(&path, items, &below);
        }
        self.modules.insert(path.to_vec(), items);
    }

    /// The public items, each under its public path, and what the types among them can do.
    fn describe(&self) -> String {
        let mut public = BTreeMap::new();
        self.collect(&[], &[], &mut public);
        let mut text = String::new();
        for (path, items) in public {
            let types: BTreeSet<String> = items.iter().filter_map(type_name).collect();
            let mut items: Vec<_> = items.into_iter().map(signature).collect();
            for name in types {
                items.extend(self.implementations(&name));
            }
            let mut shown: Vec<_> = items.into_iter().map(shown).collect();
            shown.sort();
            shown.dedup();
            text +=
                &format!("mod {}\n\n{}\n", if path.is_empty() { "crate" } else { &path }, shown.join("\n"));
        }
        text
    }

    /// Collects what is public in a module, under its path as a user writes it.
    fn collect(&self, module: &[String], shown: &[String], public: &mut BTreeMap<String, Vec<Item>>) {
        for item in &self.modules[module] {
            match item {
                Item::Mod(inner) if is_public(&inner.vis) && !is_of_tests(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    let (module, shown) =
                        ([module, &[name.clone()][..]].concat(), [shown, &[name][..]].concat());
                    self.collect(&module, &shown, public);
                }
                Item::Use(exported) if is_public(&exported.vis) => {
                    for path in paths(&exported.tree, &[]) {
                        let inner = resolved(module, &path);
                        if self.modules.contains_key(&inner) {
                            let shown = [shown, &inner[inner.len() - 1..]].concat();
                            self.collect(&inner, &shown, public);
                            continue;
                        }
                        let found = self.find(module, &path, EXPORTS);
                        // What is not found is of another crate.
                        let found = found.map_or_else(|| vec![item.clone()], |found| vec![found]);
                        public.entry(shown.join("::")).or_default().extend(found);
                    }
                }
                Item::Macro(rules) if rules.attrs.iter().any(|it| it.path().is_ident("macro_export")) => {
                    public.entry(shown.join("::")).or_default().push(item.clone());
                }
                _ if visibility(item).is_some_and(is_public) => {
                    public.entry(shown.join("::")).or_default().push(item.clone());
                }
                _ => {}
            }
        }
    }

    /// The item that a path names, through further exports.
    fn find(&self, module: &[String], path: &[String], exports: usize) -> Option<Item> {
        let (name, parents) = path.split_last()?;
        let at = resolved(module, parents);
        let items = self.modules.get(&at)?;
        let defined = items.iter().find(|item| item_name(item).is_some_and(|own| own == *name)).cloned();
        if defined.is_some() || exports == 0 {
            return defined;
        }
        let exported = items.iter().filter_map(|item| if let Item::Use(it) = item { Some(it) } else { None });
        let mut all = exported.flat_map(|exported| paths(&exported.tree, &[]));
        all.find_map(|path| (path.last() == Some(name)).then(|| self.find(&at, &path, exports - 1))?)
    }

    /// The public functions of a type, and the traits that it has.
    fn implementations(&self, name: &str) -> Vec<Item> {
        let all = self.modules.values().flatten().filter_map(|item| match item {
            Item::Impl(it) if is_of_type(it, name) && !is_of_tests(&it.attrs) => Some(it.clone()),
            _ => None,
        });
        let public = all.filter_map(|mut it| {
            it.attrs.clear();
            if it.trait_.is_some() {
                it.items.clear();
                return Some(Item::Impl(it));
            }
            it.items.retain_mut(|item| match item {
                ImplItem::Fn(function) => {
                    function.attrs.retain(is_shown);
                    function.block = empty();
                    is_public(&function.vis)
                }
                ImplItem::Const(constant) => {
                    constant.attrs.clear();
                    constant.expr = anything();
                    is_public(&constant.vis)
                }
                _ => false,
            });
            (!it.items.is_empty()).then_some(Item::Impl(it))
        });
        public.collect()
    }
}

/// The module that a path leads to from another one.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let mut at = module.to_vec();
    for part in path {
        match part.as_str() {
            "self" => {}
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            part => at.push(part.to_owned()),
        }
    }
    at
}

fn parsed(file: &Path) -> File {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", PathBuf::from(file).display()))
}

fn shown(item: Item) -> String {
    prettyplease::unparse(&File { shebang: None, attrs: Vec::new(), items: vec![item] })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    let of_cfg = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    of_cfg.filter_map(|cfg| cfg.parse_args::<Ident>().ok()).any(|word| word == "test" || word == "doctest")
}

/// Whether an attribute is part of the contract.
fn is_shown(attribute: &Attribute) -> bool {
    ["cfg", "derive", "must_use", "non_exhaustive"].iter().any(|name| attribute.path().is_ident(name))
}

fn is_of_type(implementation: &ItemImpl, name: &str) -> bool {
    match &*implementation.self_ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == name),
        _ => false,
    }
}

fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(it) => &it.vis,
        Item::Enum(it) => &it.vis,
        Item::Fn(it) => &it.vis,
        Item::Static(it) => &it.vis,
        Item::Struct(it) => &it.vis,
        Item::Trait(it) => &it.vis,
        Item::Type(it) => &it.vis,
        _ => return None,
    })
}

fn item_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Static(it) => &it.ident,
        _ => return type_name(item),
    };
    Some(name.to_string())
}

fn type_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Enum(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The paths of an export, without new names.
fn paths(tree: &UseTree, before: &[String]) -> Vec<Vec<String>> {
    let with = |name: &Ident| [before, &[name.to_string()][..]].concat();
    match tree {
        UseTree::Path(path) => paths(&path.tree, &with(&path.ident)),
        UseTree::Name(name) => vec![with(&name.ident)],
        UseTree::Rename(rename) => vec![with(&rename.ident)],
        UseTree::Glob(_) => vec![[before, &["*".to_owned()][..]].concat()],
        UseTree::Group(group) => group.items.iter().flat_map(|tree| paths(tree, before)).collect(),
    }
}

fn empty() -> Block {
    Block { brace_token: syn::token::Brace::default(), stmts: Vec::new() }
}

fn anything() -> Expr {
    Expr::Infer(ExprInfer { attrs: Vec::new(), underscore_token: <Token![_]>::default() })
}

/// An item without what is behind it: bodies, values, private fields and documentation.
fn signature(mut item: Item) -> Item {
    match &mut item {
        Item::Const(it) => {
            it.attrs.retain(is_shown);
            *it.expr = anything();
        }
        Item::Enum(it) => {
            it.attrs.retain(is_shown);
            for variant in &mut it.variants {
                variant.attrs.retain(is_shown);
                public_fields(&mut variant.fields, true);
            }
        }
        Item::Fn(it) => {
            it.attrs.retain(is_shown);
            *it.block = empty();
        }
        Item::Macro(it) => {
            it.attrs.retain(is_shown);
            it.mac.tokens = Default::default();
        }
        Item::Static(it) => {
            it.attrs.retain(is_shown);
            *it.expr = anything();
        }
        Item::Struct(it) => {
            it.attrs.retain(is_shown);
            public_fields(&mut it.fields, false);
        }
        Item::Trait(it) => {
            it.attrs.retain(is_shown);
            for item in &mut it.items {
                match item {
                    TraitItem::Fn(function) => {
                        function.attrs.retain(is_shown);
                        function.default = function.default.as_ref().map(|_| empty());
                    }
                    TraitItem::Const(constant) => constant.attrs.clear(),
                    TraitItem::Type(of_trait) => of_trait.attrs.clear(),
                    _ => {}
                }
            }
        }
        Item::Type(it) => it.attrs.retain(is_shown),
        Item::Use(it) => it.attrs.clear(),
        _ => {}
    }
    item
}

/// Leaves the fields that a user can name; in their place one of no type says that there are others.
fn public_fields(fields: &mut Fields, are_all_public: bool) {
    let hidden = || Type::Infer(TypeInfer { underscore_token: <Token![_]>::default() });
    match fields {
        Fields::Named(named) => {
            let all = std::mem::take(&mut named.named);
            let (mut shown, mut has_private) = (Punctuated::new(), None);
            for mut field in all {
                field.attrs.clear();
                if are_all_public || is_public(&field.vis) {
                    shown.push(field);
                } else {
                    field.ident = Some(Ident::new("private", proc_macro2::Span::call_site()));
                    (field.vis, field.ty) = (Visibility::Inherited, hidden());
                    has_private = Some(field);
                }
            }
            shown.extend(has_private);
            named.named = shown;
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                field.attrs.clear();
                if !are_all_public && !is_public(&field.vis) {
                    (field.vis, field.ty) = (Visibility::Inherited, hidden());
                }
            }
        }
        Fields::Unit => {}
    }
}
