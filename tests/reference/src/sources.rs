//! Doc comments of types that serde reads, from their sources as `rustfmt` leaves them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub name: String,
    pub doc: String,
    /// What is left out is taken from the type's own default.
    pub has_default: bool,
    pub fields: Vec<Field>,
}

/// A field, under the name that it has in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    pub key: String,
    pub doc: String,
    pub has_default: bool,
}

/// All types with named fields that derive `Deserialize` in the `.rs` files below `folder`, built ones aside.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn below(folder: &Path) -> anyhow::Result<Vec<Described>> {
    let mut found = Vec::new();
    for file in rust_files(folder)? {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        found.extend(described(&text));
    }
    Ok(found)
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.join("CACHEDIR.TAG").exists() {
        return Ok(files);
    }
    let unreadable = || format!("{} cannot be read", folder.display());
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(unreadable)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .with_context(unreadable)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// What stands before an item: its comment and its attributes.
#[derive(Default)]
struct Before {
    doc: String,
    attributes: String,
    /// Inside of an attribute of several lines.
    is_open: bool,
}

impl Before {
    /// Takes a line that belongs to it; whether it did.
    fn take(&mut self, line: &str) -> bool {
        if let Some(words) = line.strip_prefix("///") {
            if !self.doc.is_empty() {
                self.doc.push(' ');
            }
            self.doc.push_str(words.trim());
        } else if self.is_open || line.starts_with("#[") {
            self.attributes.push_str(line);
            self.is_open = !line.ends_with(']');
        } else {
            return false;
        }
        true
    }

    fn serde(&self) -> impl Iterator<Item = &str> {
        let of_serde = self.attributes.split("#[").filter_map(|attribute| {
            let inside = attribute.strip_prefix("serde(")?;
            inside.trim_end().strip_suffix(")]")
        });
        of_serde.flat_map(|inside| inside.split(',')).map(str::trim)
    }

    fn has_default(&self) -> bool {
        self.serde()
            .any(|word| word == "default" || word.starts_with("default ="))
    }

    fn rename(&self) -> Option<&str> {
        let given = self.serde().find_map(|word| word.strip_prefix("rename ="));
        given.map(|name| name.trim().trim_matches('"'))
    }
}

fn described(text: &str) -> Vec<Described> {
    let mut found = Vec::new();
    let mut before = Before::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if before.take(line) {
            continue;
        }
        let head = std::mem::take(&mut before);
        let Some(name) = without_visibility(line).strip_prefix("struct ") else {
            continue;
        };
        let Some(name) = name.strip_suffix(" {") else {
            continue;
        };
        if head.attributes.contains("Deserialize") {
            found.push(Described {
                name: name.to_owned(),
                has_default: head.has_default(),
                doc: head.doc,
                fields: fields(lines.by_ref().take_while(|line| *line != "}")),
            });
        }
    }
    found
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut found = Vec::new();
    let mut before = Before::default();
    for line in lines.map(str::trim) {
        if before.take(line) {
            continue;
        }
        let head = std::mem::take(&mut before);
        // No key of the file: serde does not read it.
        if head.serde().any(|word| word == "skip") {
            continue;
        }
        if let Some((name, _)) = without_visibility(line).split_once(": ") {
            found.push(Field {
                key: head.rename().unwrap_or(name).to_owned(),
                has_default: head.has_default(),
                doc: head.doc,
            });
        }
    }
    found
}

fn without_visibility(line: &str) -> &str {
    let line = line.strip_prefix("pub").unwrap_or(line);
    let line = match line.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest,
        None => line,
    };
    line.trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_names_and_defaults_are_read() {
        let source = "\
/// Other.
pub struct Other {
    pub a: u8,
}

/// `[x]`: what
/// it is.
#[derive(Clone, Deserialize)]
#[serde(
    deny_unknown_fields,
    default
)]
pub(crate) struct X {
    /// One. Default 1.
    #[serde(rename = \"one\", default = \"first\")]
    pub(super) first: u8,
    /// Two,
    /// or more.
    second: Option<Vec<u8>>,
    /// No key.
    #[serde(skip)]
    third: u8,
}
";
        let field = |key: &str, doc: &str, has_default| Field {
            key: key.to_owned(),
            doc: doc.to_owned(),
            has_default,
        };
        let wanted = Described {
            name: "X".to_owned(),
            doc: "`[x]`: what it is.".to_owned(),
            has_default: true,
            fields: vec![
                field("one", "One. Default 1.", true),
                field("second", "Two, or more.", false),
            ],
        };
        assert_eq!(described(source), [wanted]);
    }
}
