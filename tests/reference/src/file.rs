//! A configuration file as its type describes it, and the proof that the description is true.

use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use toml::Value;

use crate::facts::Facts;
use crate::keys::{Expected, Shape, expected};
use crate::sources::{Described, below};

/// Tables in tables. A type that holds itself would go on for ever.
const DEPTH_LIMIT: usize = 6;

/// A file, all keys of it.
#[derive(Debug)]
pub struct ConfigFile {
    pub(crate) root: Table,
}

/// A table of the file; the file itself is one.
#[derive(Debug)]
pub(crate) struct Table {
    /// Names from the top; empty for the file.
    pub path: Vec<&'static str>,
    pub is_list: bool,
    /// The file must have it.
    pub is_needed: bool,
    /// What its key and its type say of it.
    pub doc: String,
    pub keys: Vec<Key>,
    pub tables: Vec<Table>,
}

/// A key whose value is no table of ours.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub expected: Expected,
    pub is_needed: bool,
    pub facts: Facts,
    /// As the comment says it; `None` where it says words, or nothing.
    pub default: Option<Value>,
    /// What the example shows: as the comment says, else the default.
    pub shown: Value,
}

impl ConfigFile {
    /// All that `T` takes, described by the sources below `folder`.
    ///
    /// # Errors
    /// When a key is not described, or not so that it can be shown.
    pub fn of<T: DeserializeOwned>(folder: &Path) -> anyhow::Result<Self> {
        let sources = below(folder)?;
        let root = table::<T>(&sources, Vec::new(), &Expected::default(), "", true)?;
        Ok(Self { root })
    }

    /// Asks the program's own parser whether the description is true: `check` reads a whole file and says what is
    /// wrong with it. The example is right with every line of it; what is said to be needed is; each
    /// default that is said is the one that counts; each limit is the last value that is taken.
    ///
    /// # Errors
    /// What is not true, in words, with the key.
    pub fn proven<T: DeserializeOwned + Debug>(
        &self,
        check: impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let example = self.uncommented();
        check(&example).context("the example with all its lines is refused")?;
        let example: toml::Table = toml::from_str(&example)?;
        self.prove_table::<T>(&self.root, &example, &check)
    }

    fn prove_table<T: DeserializeOwned + Debug>(
        &self,
        table: &Table,
        example: &toml::Table,
        check: &impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for key in &table.keys {
            let name = table.name_of(key);
            let read = |value: Option<Value>| {
                let document = self.minimal(&table.path, key.name, value);
                let read = toml::from_str::<T>(&toml::to_string(&document)?)?;
                anyhow::Ok(format!("{read:?}"))
            };
            let without = read(None);
            ensure!(
                key.is_needed == without.is_err(),
                "{name}: whether it is needed is not as its type's attributes say: {without:?}"
            );
            if let Some(default) = &key.default {
                let with = read(Some(default.clone())).with_context(|| name.clone())?;
                ensure!(
                    with == without?,
                    "{name}: its comment says that {default} is its default, which is not so"
                );
            }
            prove_limits(&name, &table.path, key, example, check)?;
        }
        for inner in &table.tables {
            self.prove_table::<T>(inner, example, check)?;
        }
        Ok(())
    }

    /// The least file that has the table at `path`, and in it `key` with `value`, or not.
    fn minimal(&self, path: &[&str], key: &str, value: Option<Value>) -> toml::Table {
        fill(&self.root, path, key, value.as_ref())
    }
}

fn fill(table: &Table, path: &[&str], key: &str, value: Option<&Value>) -> toml::Table {
    let is_there = path.is_empty();
    let mut filled = toml::Table::new();
    for needed in table.keys.iter().filter(|k| k.is_needed) {
        filled.insert(needed.name.to_owned(), needed.shown.clone());
    }
    for inner in &table.tables {
        let name = inner.path.last().copied().unwrap_or_default();
        let is_next = path.first() == Some(&name);
        if is_next || inner.is_needed {
            let rest = if is_next { &path[1..] } else { &["\0"] };
            let inside = Value::Table(fill(inner, rest, key, value));
            let inside = match inner.is_list {
                true => Value::Array(vec![inside]),
                false => inside,
            };
            filled.insert(name.to_owned(), inside);
        }
    }
    if is_there {
        match value {
            Some(value) => filled.insert(key.to_owned(), value.clone()),
            None => filled.remove(key),
        };
    }
    filled
}

fn prove_limits(
    name: &str,
    path: &[&str],
    key: &Key,
    example: &toml::Table,
    check: &impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Facts { least, most, .. } = key.facts;
    if key.expected.shape != Shape::Whole || key.expected.list {
        return Ok(());
    }
    let Some(least) = least else {
        bail!("{name}: its comment says no limits: N to M, or at least N");
    };
    let check = |number: i64| {
        let mut document = example.clone();
        let place = place(&mut document, path, key.name).context("it is not in the example")?;
        *place = Value::Integer(number);
        check(&toml::to_string(&document)?)
    };
    for limit in [Some(least), most].into_iter().flatten() {
        check(limit).with_context(|| format!("{name}: {limit} is said to be allowed"))?;
    }
    for beyond in [Some(least - 1), most.map(|most| most + 1)]
        .into_iter()
        .flatten()
    {
        ensure!(
            check(beyond).is_err(),
            "{name}: {beyond} is said to be refused, and is taken"
        );
    }
    Ok(())
}

/// Where `key` of the table at `path` stands; of a list's elements, the first that has it.
fn place<'a>(table: &'a mut toml::Table, path: &[&str], key: &str) -> Option<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else {
        return table.get_mut(key);
    };
    match table.get_mut(*first)? {
        Value::Table(inner) => place(inner, rest, key),
        Value::Array(list) => list
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .find_map(|inner| place(inner, rest, key)),
        _ => None,
    }
}

fn table<T: DeserializeOwned>(
    sources: &[Described],
    path: Vec<&'static str>,
    of: &Expected,
    doc: &str,
    is_needed: bool,
) -> anyhow::Result<Table> {
    let at = path.join(".");
    ensure!(path.len() <= DEPTH_LIMIT, "{at}: too many tables in tables");
    let Shape::Table { name, keys } = expected::<T>(&path).shape else {
        bail!("{at} is no table");
    };
    let is_same = |d: &&Described| d.name == name && d.fields.iter().all(|f| is_key(f, keys));
    let described = sources
        .iter()
        .find(|d| is_same(d) && d.fields.len() == keys.len())
        .with_context(|| {
            format!("{at}: no source has a type {name} with the keys {keys:?} and no other")
        })?;
    let mut made = Table {
        doc: joined(doc, &described.doc),
        is_list: of.list,
        is_needed,
        keys: Vec::new(),
        tables: Vec::new(),
        path: path.clone(),
    };
    for name in keys {
        let field = described.fields.iter().find(|f| f.key == *name);
        let field = field.with_context(|| format!("{at}: {name} is in no source"))?;
        let inner: Vec<&'static str> = path.iter().copied().chain([*name]).collect();
        let of = expected::<T>(&inner);
        let is_needed = !(of.optional || field.has_default || described.has_default);
        let full = inner.join(".");
        ensure!(!field.doc.is_empty(), "{full}: has no doc comment");
        if matches!(of.shape, Shape::Table { .. }) {
            made.tables
                .push(table::<T>(sources, inner, &of, &field.doc, is_needed)?);
        } else {
            made.keys
                .push(key(name, of, is_needed, &field.doc).context(full)?);
        }
    }
    Ok(made)
}

fn is_key(field: &crate::sources::Field, keys: &[&str]) -> bool {
    keys.contains(&field.key.as_str())
}

/// A type's comment may be no more than its name in the file.
fn joined(of_key: &str, of_type: &str) -> String {
    let is_more = of_type.matches('`').count() != 2 || !of_type.ends_with('`');
    match (of_key.is_empty(), is_more) {
        (true, _) => of_type.to_owned(),
        (false, true) => format!("{of_key} {of_type}"),
        (false, false) => of_key.to_owned(),
    }
}

fn key(name: &'static str, expected: Expected, is_needed: bool, doc: &str) -> anyhow::Result<Key> {
    ensure!(
        expected.shape != Shape::Unknown,
        "is of a shape that the reference does not know"
    );
    let facts = Facts::of(doc);
    let default = facts.default.as_deref().and_then(|words| {
        let quoted = facts.default_quoted();
        default(&expected, words, &quoted)
    });
    ensure!(
        is_needed == facts.default.is_none(),
        "its doc comment must say `Default X.` if it may be left out, and only then"
    );
    ensure!(
        is_needed || expected.optional || default.is_some(),
        "the default that its doc comment says is none that could be proven"
    );
    let example = match &facts.example {
        Some(words) => Some(example(&expected, words)?),
        None => default.clone(),
    };
    Ok(Key {
        shown: example.context("its doc comment must give an example, as `X`")?,
        name,
        expected,
        is_needed,
        default,
        facts,
    })
}

fn default(expected: &Expected, words: &str, quoted: &[&str]) -> Option<Value> {
    if expected.optional {
        return None;
    }
    if expected.list {
        let each = quoted.iter().map(|text| match expected.shape {
            Shape::Text | Shape::Choice(_) => Some(Value::String((*text).to_owned())),
            _ => plain(&expected.shape, text),
        });
        let all = (words == "none" || !quoted.is_empty()).then_some(each);
        return all?.collect::<Option<_>>().map(Value::Array);
    }
    match expected.shape {
        Shape::Map => (words == "none").then(|| Value::Table(toml::Table::new())),
        Shape::Text | Shape::Choice(_) => quoted.first().map(|t| Value::String((*t).to_owned())),
        _ => plain(&expected.shape, words.trim_matches('`')),
    }
}

fn example(expected: &Expected, words: &str) -> anyhow::Result<Value> {
    let one = match expected.shape {
        Shape::Text | Shape::Choice(_) => Some(Value::String(words.to_owned())),
        Shape::Map => {
            let parsed: toml::Table = toml::from_str(&format!("x = {words}"))?;
            parsed.get("x").cloned()
        }
        _ => plain(&expected.shape, words),
    };
    let one = one.with_context(|| format!("{words} is no example of it"))?;
    Ok(match expected.list {
        true => Value::Array(vec![one]),
        false => one,
    })
}

fn plain(shape: &Shape, words: &str) -> Option<Value> {
    match shape {
        Shape::Truth => words.parse().ok().map(Value::Boolean),
        Shape::Whole => words.replace(',', "").parse().ok().map(Value::Integer),
        Shape::Fraction => words.parse().ok().map(Value::Float),
        _ => None,
    }
}

impl Table {
    /// `logs.lines_per_second`
    pub fn name_of(&self, key: &Key) -> String {
        let parts: Vec<&str> = self.path.iter().copied().chain([key.name]).collect();
        parts.join(".")
    }

    /// `[logs]`, `[[files]]`; empty for the file itself.
    pub fn heading(&self) -> String {
        match (self.path.join("."), self.is_list) {
            (name, _) if name.is_empty() => name,
            (name, true) => format!("[[{name}]]"),
            (name, false) => format!("[{name}]"),
        }
    }
}

#[cfg(test)]
mod tests;
