//! The tables of `docs/configuration.md`, and how committed files are held to what the code says.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::file::{ConfigFile, Key, Table};
use crate::keys::Shape;

/// Writes the files anew instead of comparing them.
const REGENERATE: &str = "FIRSTLOOK_REGENERATE";
/// What writes all of them.
const COMMAND: &str = "FIRSTLOOK_REGENERATE=1 cargo test -p firstlook-agent -p firstlook-collector -p firstlook-forward reference";

impl ConfigFile {
    /// One table for each table of the file.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        write_table(&mut text, &self.root);
        text
    }
}

fn write_table(text: &mut String, table: &Table) {
    if !table.path.is_empty() {
        let _ = write!(text, "\n### `{}`\n\n{}\n", table.heading(), table.doc);
    }
    if !table.keys.is_empty() {
        text.push_str("\n| key | type | default | limits | what it means |\n");
        text.push_str("| --- | --- | --- | --- | --- |\n");
    }
    for key in &table.keys {
        let cells = [
            format!("`{}`", table.name_of(key)),
            type_of(key),
            key.facts
                .default
                .clone()
                .unwrap_or_else(|| "must be said".to_owned()),
            limits(key),
            key.facts.text.clone(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for inner in &table.tables {
        write_table(text, inner);
    }
}

fn type_of(key: &Key) -> String {
    let one = match &key.expected.shape {
        Shape::Truth => "true or false".to_owned(),
        Shape::Whole | Shape::Fraction => format!("number{}", unit(key.name)),
        Shape::Text => "text".to_owned(),
        Shape::Choice(names) => {
            let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
            names.join(" or ")
        }
        Shape::Map => "table of text".to_owned(),
        // Neither becomes a key.
        Shape::Unknown | Shape::Table { .. } => String::new(),
    };
    match key.expected.list {
        true => format!("list of {one}"),
        false => one,
    }
}

/// Units stand last in names.
fn unit(name: &str) -> &'static str {
    let units = [
        ("_per_second", " per second"),
        ("_ms", " of milliseconds"),
        ("_s", " of seconds"),
        ("_seconds", " of seconds"),
        ("_days", " of days"),
        ("_bytes", " of bytes"),
        ("_kib", " of KiB"),
        ("_mib", " of MiB"),
        ("_gib", " of GiB"),
        ("_percent", ", percent"),
    ];
    let unit = units.iter().find(|(ending, _)| name.ends_with(ending));
    unit.map_or("", |(_, words)| words)
}

fn limits(key: &Key) -> String {
    if !matches!(key.expected.shape, Shape::Whole | Shape::Fraction) {
        return String::new();
    }
    match (key.facts.least, key.facts.most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        _ => String::new(),
    }
}

/// Holds a file to `generated`: the whole of it, or what stands between `<!-- PART -->` and `<!-- end of PART -->`.
///
/// # Errors
/// When it says something else: with what writes it anew.
pub fn hold(file: &Path, part: Option<&str>, generated: &str) -> anyhow::Result<()> {
    let is_wanted = std::env::var_os(REGENERATE).is_some();
    hold_or_write(file, part, generated, is_wanted)
}

fn hold_or_write(
    file: &Path,
    part: Option<&str>,
    generated: &str,
    is_wanted: bool,
) -> anyhow::Result<()> {
    let name = file.display();
    let old = match std::fs::read_to_string(file) {
        // A whole file may be new.
        Err(_) if part.is_none() => String::new(),
        read => read.with_context(|| format!("{name} cannot be read"))?,
    };
    let new = match part {
        None => generated.to_owned(),
        Some(part) => {
            let (begin, end) = (
                format!("<!-- {part} -->"),
                format!("<!-- end of {part} -->"),
            );
            let lacks = || format!("{name} lacks the marks {begin} and {end}");
            let (above, rest) = old.split_once(&begin).with_context(lacks)?;
            let (_, below) = rest.split_once(&end).with_context(lacks)?;
            format!("{above}{begin}\n{generated}\n{end}{below}")
        }
    };
    if is_wanted && new != old {
        std::fs::write(file, &new).with_context(|| format!("{name} cannot be written"))?;
        return Ok(());
    }
    ensure!(
        new == old,
        "{name} does not say what the code does: write it anew by {COMMAND}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_what_writes_it_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.md");
        std::fs::write(&file, "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n").unwrap();
        let told = hold_or_write(&file, Some("x"), "new", false).unwrap_err();
        assert!(told.to_string().contains(COMMAND), "{told}");
        hold_or_write(&file, Some("x"), "new", true).unwrap();
        hold_or_write(&file, Some("x"), "new", false).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n");
        assert!(hold_or_write(&file, Some("y"), "new", true).is_err());
    }
}
