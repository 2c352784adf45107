//! No import circles: of the modules that lie side by side in a folder none may need another that needs
//! it, in however many steps. What a folder and its own files share is theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::{SourceFile, sources};

/// A module: the names from the root of the crate down to it.
type Module = Vec<String>;

/// Of the modules in one folder, which names which, with a pair of files that do.
type Siblings = BTreeMap<String, BTreeMap<String, (Module, Module)>>;

#[test]
fn modules_import_one_another_in_no_circle() {
    let files: Vec<(Module, SourceFile)> = sources()
        .into_iter()
        .filter(|file| !file.production().is_empty())
        .filter_map(|file| Some((module_of(&file.path)?, file)))
        .collect();
    let all: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut folders: BTreeMap<Module, Siblings> = BTreeMap::new();
    for (from, file) in &files {
        let code: Vec<&str> = file.code_lines().map(|(_, line)| line).collect();
        for path in paths(&code.join("\n")) {
            let Some(to) = resolve(from, &path, &all) else { continue };
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
                let siblings = folders.entry(from[..shared].to_vec()).or_default();
                let named = siblings.entry(one.clone()).or_default();
                named.entry(other.clone()).or_insert_with(|| (from.clone(), to.clone()));
            }
        }
    }
    assert!(folders.len() > 5, "no imports are found");
    let circles: Vec<String> = folders.values().filter_map(circle).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// `None` for the roots.
fn module_of(path: &str) -> Option<Module> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let is_root = path == "lib" || path == "main";
    (!is_root).then(|| path.split('/').map(str::to_owned).collect())
}

/// All paths in code, groups taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let (mut found, mut rest) = (Vec::new(), code);
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if (first.is_alphabetic() || first == '_') && !(before.is_alphanumeric() || before == '_') {
            rest = path(rest, &[], &mut found);
            before = '_';
        } else {
            before = first;
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// Takes one path off, with what stood before it; gives back the rest.
fn path<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut whole = before.to_vec();
    whole.push(text[..end].to_owned());
    let mut rest = &text[end..];
    let Some(after) = rest.strip_prefix("::") else {
        found.push(whole);
        return rest;
    };
    let Some(mut group) = after.strip_prefix('{') else {
        let goes_on = after.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if goes_on {
            return path(after, &whole, found);
        }
        found.push(whole);
        return after;
    };
    loop {
        group = group.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        rest = group.strip_prefix('}').unwrap_or(group);
        if rest.len() < group.len() || group.is_empty() {
            return rest;
        }
        if group.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            group = path(group, &whole, found);
            // What it is called here.
            if let Some(name) = group.trim_start().strip_prefix("as ") {
                let end = name.find([',', '}']).unwrap_or(name.len());
                group = &name[end..];
            }
        } else {
            group = &group[group.chars().next().map_or(0, char::len_utf8)..];
        }
    }
}

/// The module that a path leads into, if it is one of ours.
fn resolve(from: &[String], path: &[String], all: &BTreeSet<Module>) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut at = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from[..from.len().saturating_sub(1)].to_vec(),
        name => {
            rest = path;
            let mut child = from.to_vec();
            child.push(name.to_owned());
            all.contains(&child).then(|| from.to_vec())?
        }
    };
    while let Some((name, after)) = rest.split_first() {
        if name == "super" {
            at.pop();
        } else {
            at.push(name.clone());
            if !all.contains(&at) {
                at.pop();
                break;
            }
        }
        rest = after;
    }
    Some(at)
}

/// A circle among modules of one folder, in words.
fn circle(siblings: &Siblings) -> Option<String> {
    siblings.keys().find_map(|start| {
        let mut ways: Vec<Vec<&String>> = vec![vec![start]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let named = siblings.get(*way.last()?).into_iter().flatten();
            for (next, _) in named {
                let mut longer = way.clone();
                longer.push(next);
                if next == start {
                    return Some(in_words(&longer, siblings));
                }
                if seen.insert(next) {
                    ways.push(longer);
                }
            }
        }
        None
    })
}

fn in_words(way: &[&String], siblings: &Siblings) -> String {
    let steps = way.windows(2).filter_map(|pair| {
        let (from, to) = siblings.get(pair[0])?.get(pair[1])?;
        Some(format!("{} names {}", from.join("::"), to.join("::")))
    });
    format!("a circle: {}", steps.collect::<Vec<_>>().join(", "))
}

/// The check above is worth what its reading of paths is worth.
#[test]
fn the_reader_of_imports_reads() {
    let words = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let code = "use crate::a::{b, c::{self, D as E}, f};\nfn x() { super::g::h(1); i::j::<u8>() }";
    let found = paths(code);
    for path in ["crate::a::b", "crate::a::c::self", "crate::a::c::D", "crate::a::f", "super::g::h"]
    {
        assert!(found.contains(&words(path)), "{path}: {found:?}");
    }
    assert!(found.contains(&words("i::j")) && !found.contains(&words("E")), "{found:?}");
    let all: BTreeSet<Module> = ["a", "a::b", "a::c", "d"].map(words).into();
    let leads = |path: &str| resolve(&words("a::b"), &words(path), &all);
    assert_eq!(leads("super::c::thing"), Some(words("a::c")));
    assert_eq!(leads("crate::d::x::Y"), Some(words("d")));
    assert_eq!(leads("std::fs"), None);
    assert_eq!(resolve(&words("a"), &words("c::z"), &all), Some(words("a::c")));
    let pair = || (words("x"), words("y"));
    let named = |to: &str| BTreeMap::from([(to.to_owned(), pair())]);
    let round = |last: &str| {
        let steps = [("a", "b"), ("b", "c"), ("c", last)];
        steps.map(|(from, to)| (from.to_owned(), named(to))).into()
    };
    assert!(circle(&round("a")).is_some() && circle(&round("b")).is_some());
    assert_eq!(circle(&round("d")), None);
}
