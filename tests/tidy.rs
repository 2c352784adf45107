//! Conventions that a compiler does not check, made into failures: who may name whom,
//! module headers, lengths, and documents that agree with the code. Reads files only.

use std::fs;
use std::path::{Path, PathBuf};

mod circles;

/// The floors of the house (ARCHITECTURE.md): a file may name its own floor's module and
/// those below, never those above, and no neighbour that is not listed in [`NEIGHBOURS`].
const FLOORS: &[(&str, u8)] = &[
    ("clock", 0),
    ("ice", 0),
    ("key", 0),
    ("quantity", 0),
    ("race", 0),
    ("secret", 0),
    ("sequence", 0),
    ("system", 0),
    ("trust", 0),
    ("media", 1),
    ("rtc", 2),
    ("signaling", 2),
    ("call", 3),
    ("phone", 4),
    ("loopback", 4),
    ("doctor", 4),
    ("control", 5),
    ("cli", 5),
];

/// Who may name a neighbour on the same floor: the loopback report is made of two phones, the doctor
/// gives a verdict as it does,
/// the command line talks to a running login, files of certificates have faults of the system, and who
/// answers first takes a clock.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("loopback", "phone"),
    ("doctor", "phone"),
    ("doctor", "loopback"),
    ("cli", "control"),
    ("trust", "system"),
    ("race", "clock"),
];

/// Below, but none of its business: signaling is about who is online.
const STRANGERS: &[(&str, &str)] = &[("signaling", "media")];

const MAX_PRODUCTION_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_UNWRAPS_IN_1000_LINES: f64 = 2.0;

#[test]
fn nobody_names_a_floor_above() {
    for file in sources() {
        let Some((from, floor)) = file.floor() else { continue };
        for (line, to) in file.crate_modules() {
            let Some(&(_, other)) = FLOORS.iter().find(|(name, _)| *name == to) else { continue };
            let neighbour = from != to && floor == other;
            let allowed = (other <= floor && !neighbour)
                || NEIGHBOURS.contains(&(from.as_str(), to.as_str()));
            let strange = STRANGERS.contains(&(from.as_str(), to.as_str()));
            assert!(allowed && !strange, "{}:{line}: `{from}` must not know `{to}`", file.path);
        }
    }
}

#[test]
fn only_rtc_names_the_webrtc_crates() {
    for file in sources().into_iter().filter(|file| !file.path.starts_with("src/rtc/")) {
        for (number, line) in file.code_lines() {
            for name in ["webrtc::", "rtc::"] {
                let named = line.match_indices(name).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "_:{".contains(c))
                });
                assert!(!named, "{}:{number}: only src/rtc may name `{name}`", file.path);
            }
        }
    }
}

/// Where a codec's name may stand: its own files, the list of codecs, the two tables (what encodes and
/// decodes it, how it travels) with the folders that they stand in, and how containers store it.
const CODEC_PLACES: &[&str] = &[
    "src/media/codec/h264/",
    "src/rtc/payload/h264.rs",
    "src/media/encoded.rs",
    "src/media/codec/mod.rs",
    "src/media/codec/table.rs",
    "src/rtc/payload/mod.rs",
    "src/media/container/",
];

#[test]
fn a_codec_is_named_in_its_own_files_and_the_tables_only() {
    let elsewhere =
        |file: &SourceFile| !CODEC_PLACES.iter().any(|place| file.path.starts_with(place));
    for file in sources().into_iter().filter(elsewhere) {
        for (number, line) in file.code_lines() {
            let named = line.to_ascii_lowercase().contains("h264");
            assert!(!named, "{}:{number}: ask the tables instead of naming a codec", file.path);
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in sources().into_iter().chain(rust_files("tests")).chain(rust_files("examples")) {
        assert!(file.text.starts_with("//! "), "{}: begin with `//!`: what it owns", file.path);
    }
}

#[test]
fn files_and_functions_fit_in_a_head() {
    for file in sources() {
        let lines = file.production().lines().count();
        assert!(
            lines <= MAX_PRODUCTION_LINES,
            "{}: {lines} lines before its tests, {MAX_PRODUCTION_LINES} are the limit",
            file.path
        );
        for (number, name, length) in file.functions() {
            assert!(
                length <= MAX_FUNCTION_LINES,
                "{}:{number}: `{name}` has {length} lines, {MAX_FUNCTION_LINES} are the limit",
                file.path
            );
        }
    }
}

#[test]
fn next_to_nothing_is_unwrapped() {
    let mut places = Vec::new();
    let mut lines = 0_usize;
    for file in sources() {
        lines += file.production().lines().count();
        for (number, line) in file.code_lines() {
            if line.contains(".unwrap()") || line.contains(".expect(") {
                places.push(format!("{}:{number}", file.path));
            }
        }
    }
    let limit = lines as f64 * MAX_UNWRAPS_IN_1000_LINES / 1000.0;
    assert!(places.len() as f64 <= limit, "{} unwraps: {places:#?}", places.len());
}

#[test]
fn no_test_sleeps() {
    let call = concat!("sle", "ep(");
    for file in sources() {
        let tests = &file.text[file.production().len()..];
        assert!(!tests.contains(call), "{}: wait for a condition instead", file.path);
    }
    for file in rust_files("tests") {
        assert!(!file.text.contains(call), "{}: wait for a condition instead", file.path);
    }
}

#[test]
fn the_readme_opens_with_the_two_commands() {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let commands: Vec<&str> = block
        .expect("a block of shell commands in README.md")
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    assert_eq!(commands, ["make demo", "make test"]);
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let readme = read("README.md");
    let words = readme.split_whitespace().count();
    assert!(words < 1_200, "README.md has {words} words; what is looked up stands in docs/");
}

#[test]
fn make_targets_in_documents_exist() {
    let makefile = read("Makefile");
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(document);
        for (at, _) in text.match_indices("make ") {
            let in_code = text[..at].ends_with(['`', '\n']);
            let target: String =
                text[at + 5..].chars().take_while(char::is_ascii_lowercase).collect();
            let exists = makefile.contains(&format!("\n{target}:"));
            assert!(!in_code || exists, "{document}: no target `{target}` in the Makefile");
        }
    }
}

#[test]
fn the_documents_name_every_event_and_reason() {
    let events = read("docs/EVENTS.md");
    for (kind, file) in [("EventKind", "phone/event.rs"), ("EndReason", "call/reason.rs")] {
        let variants = variants(&read(&format!("src/{file}")), kind);
        assert!(variants.len() > 5, "{kind} is not where this test looks for it");
        for name in variants {
            assert!(events.contains(&format!("`{name}`")), "docs/EVENTS.md: no `{name}` of {kind}");
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).expect("a folder of documents");
    let docs =
        docs.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let docs = docs.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let above = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned);
    for document in above.into_iter().chain(docs) {
        let text = read(&document);
        let folder = root().join(&document).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let outside = link.starts_with("http");
            assert!(outside || path.is_empty() || folder.join(path).exists(), "{document}: {link}");
        }
    }
}

/// The checks above are worth what their reading of the sources is worth.
#[test]
fn the_reader_of_sources_reads() {
    let text = "//! What.\n\nuse crate::{media::frame, phone};\npub(crate) async fn long(\n) {\n    \
                crate::call::x(); // crate::cli\n}\n\n#[cfg(test)]\nmod tests {\n    fn test() {}\n}\n";
    let file = SourceFile { path: "src/rtc/x.rs".to_owned(), text: text.to_owned() };
    assert_eq!(file.floor(), Some(("rtc".to_owned(), 2)));
    let named = |line, name: &str| (line, name.to_owned());
    let modules = [named(3, "media"), named(3, "phone"), named(6, "call")];
    assert_eq!(file.crate_modules(), modules);
    assert_eq!(file.functions(), [(4, "long".to_owned(), 4)]);
    assert_eq!(file.production().lines().count(), 8);
    let text = "//! What.\n\n#[cfg(test)]\nmod simulation_tests;\npub mod step;\n\nfn one() {}\n\n\
                #[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;\n";
    let file = SourceFile { path: "src/call/mod.rs".to_owned(), text: text.to_owned() };
    assert!(file.production().ends_with("fn one() {}\n\n"), "{}", file.production());
    assert_eq!(
        variants("pub enum E {\n    /// Doc.\n    OneTwo {\n        Three: u8,\n    },\n}\n", "E"),
        ["one-two"]
    );
}

/// A source file with its path from the root of the project.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    /// What stands before the tests, which are the last thing in a file. A test module that is only
    /// declared, among others at the top, hides nothing behind it.
    fn production(&self) -> &str {
        if ["_tests.rs", "/tests.rs", "/test_support.rs"].iter().any(|end| self.path.ends_with(end))
        {
            return "";
        }
        let marks = self.text.match_indices("#[cfg(test)]");
        let tests = marks.map(|(at, _)| at).find(|at| {
            let item = self.text[*at..].lines().find(|line| !line.starts_with('#'));
            let last = self.text[*at..].trim_end().ends_with("mod tests;");
            item.is_some_and(|item| item.starts_with("mod tests") && (item.ends_with('{') || last))
        });
        tests.map_or(&self.text, |at| &self.text[..at])
    }

    /// The lines of production code with their numbers, without comments.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.production().lines().enumerate();
        lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }

    /// The top module that it belongs to, and its floor; none for `lib.rs` and `main.rs`.
    fn floor(&self) -> Option<(String, u8)> {
        let top = self.path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
        let top = top.trim_end_matches("_tests");
        let &(name, floor) = FLOORS.iter().find(|(name, _)| *name == top)?;
        Some((name.to_owned(), floor))
    }

    /// The top modules that it names by `crate::…`, with line numbers.
    fn crate_modules(&self) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        for (number, line) in self.code_lines() {
            for (at, found) in line.match_indices("crate::") {
                let rest = &line[at + found.len()..];
                if let Some(group) = rest.strip_prefix('{') {
                    named.extend(group.split(',').map(|part| (number, first_name(part.trim()))));
                } else {
                    named.push((number, first_name(rest)));
                }
            }
        }
        named
    }

    /// Line number, name and length of its functions; rustfmt's indentation tells their ends.
    fn functions(&self) -> Vec<(usize, String, usize)> {
        let lines: Vec<&str> = self.production().lines().collect();
        let mut found = Vec::new();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let Some(name) = function_name(code) else { continue };
            let end = format!("{}}}", &line[..line.len() - code.len()]);
            let length = lines[start..].iter().position(|line| *line == end).unwrap_or(0) + 1;
            found.push((start + 1, name, length));
        }
        found
    }
}

fn function_name(code: &str) -> Option<String> {
    let before = code.split("fn ").next()?;
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe"];
    let is_start = before.split_whitespace().all(|word| words.contains(&word));
    let rest = code.strip_prefix(before)?.strip_prefix("fn ")?;
    (is_start && !code.ends_with(';')).then(|| first_name(rest))
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The variants of an enum in kebab-case, as serde writes them.
fn variants(text: &str, name: &str) -> Vec<String> {
    let body = text.split(&format!("pub enum {name} {{")).nth(1).unwrap_or_default();
    let body = body.split("\n}").next().unwrap_or_default();
    let names = body.lines().filter_map(|line| line.strip_prefix("    "));
    names.filter(|line| line.starts_with(char::is_uppercase)).map(kebab).collect()
}

fn kebab(line: &str) -> String {
    let mut name = String::new();
    for c in first_name(line).chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    name
}

fn sources() -> Vec<SourceFile> {
    let files = rust_files("src");
    assert!(files.len() > 10, "src has moved");
    files
}

fn rust_files(folder: &str) -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| SourceFile {
            text: fs::read_to_string(&path).expect("a readable source file"),
            path: path.strip_prefix(root()).expect("below the root").display().to_string(),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
