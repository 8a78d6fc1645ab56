//! The commented example of a file: every key with what it means, each commented out.

use std::fmt::Write;

use crate::file::{ConfigFile, Key, Table};

const WIDTH: usize = 98;

impl ConfigFile {
    /// The example, with `opening` on top. Lines with a key or a table begin with `#`, those that explain them with `# `.
    /// Taken out of the comments all together they are a file that the program takes.
    pub fn example(&self, opening: &str) -> String {
        let mut text = comment(opening);
        write_table(&mut text, &self.root);
        text
    }

    /// The example with each key in force.
    pub(crate) fn uncommented(&self) -> String {
        let lines = self.example("");
        let lines = lines.lines().filter_map(|line| {
            let line = line.strip_prefix('#')?;
            (!line.starts_with(' ')).then_some(line)
        });
        lines.fold(String::new(), |text, line| text + line + "\n")
    }
}

fn write_table(text: &mut String, table: &Table) {
    if !table.path.is_empty() {
        text.push('\n');
        text.push_str(&comment(&table.doc));
        let _ = writeln!(text, "#{}", table.heading());
    }
    for key in table.keys.iter().filter(|key| !is_alternative(key)) {
        text.push_str(&comment(&explained(key)));
        write_key(text, key, None);
    }
    let (choices, parts): (Vec<_>, Vec<_>) = table.tables.iter().partition(|t| is_choice(table, t));
    for inner in parts {
        write_table(text, inner);
    }
    // Of what excludes one another each has an element of its own.
    for (number, inner) in choices.into_iter().enumerate() {
        if number > 0 {
            open_another(text, table, inner.path.last().copied());
        }
        write_table(text, inner);
    }
    for key in table.keys.iter().filter(|key| is_alternative(key)) {
        open_another(text, table, None);
        text.push_str(&comment(&explained(key)));
        write_key(text, key, None);
    }
}

fn is_choice(of: &Table, table: &Table) -> bool {
    of.is_list && !table.is_needed && !table.is_list
}

/// A key that says what it does not go together with.
fn is_alternative(key: &Key) -> bool {
    key.facts.text.contains("Not with `")
}

/// Another element of a list, with what each needs.
fn open_another(text: &mut String, table: &Table, suffix: Option<&str>) {
    let _ = writeln!(text, "\n#{}", table.heading());
    for key in table.keys.iter().filter(|key| key.is_needed) {
        let suffix = suffix.filter(|_| key.facts.text.contains("unique"));
        write_key(text, key, suffix);
    }
}

fn write_key(text: &mut String, key: &Key, suffix: Option<&str>) {
    let shown = match (&key.shown, suffix) {
        (toml::Value::String(shown), Some(suffix)) => {
            toml::Value::String(format!("{shown}-{suffix}"))
        }
        (shown, _) => shown.clone(),
    };
    let _ = writeln!(text, "#{} = {shown}", key.name);
}

fn explained(key: &Key) -> String {
    match &key.facts.default {
        Some(default) if key.facts.text.is_empty() => format!("Default: {default}."),
        Some(default) => format!("{} Default: {default}.", key.facts.text),
        None => key.facts.text.clone(),
    }
}

/// Lines that begin with `# `, none of them wider than [`WIDTH`] where words allow.
fn comment(words: &str) -> String {
    let mut text = String::new();
    for paragraph in words.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() > 1 && line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(text, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(text, "{}", if line == "#" { "" } else { &line });
    }
    text
}
