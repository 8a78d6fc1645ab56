//! The options of a program's commands, as clap knows them.

use std::fmt::Write;

/// One row for each option and argument of the program's commands, with the variable that may stand for it.
pub fn table(program: &clap::Command) -> String {
    let mut text = String::from("\n| command | option | default | variable | what it means |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    write_rows(&mut text, program, "");
    text
}

fn write_rows(text: &mut String, command: &clap::Command, name: &str) {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if argument.is_hide_set() || matches!(id, "help" | "version") {
            continue;
        }
        let value = argument.get_value_names().map_or(id, |names| &names[0]);
        let option = match argument.get_long() {
            Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
            Some(long) => format!("--{long}"),
            None => value.to_owned(),
        };
        let defaults = argument.get_default_values().iter();
        let default: Vec<_> = defaults.map(|d| format!("`{}`", d.display())).collect();
        let default = match argument.is_required_set() {
            true => "must be said".to_owned(),
            false if !argument.get_action().takes_values() => "no".to_owned(),
            false if default.is_empty() => "none".to_owned(),
            false => default.join(", "),
        };
        let variable = argument.get_env().map(|v| format!("`{}`", v.display()));
        let help = argument.get_help().map(ToString::to_string);
        let _ = writeln!(
            text,
            "| `{name}` | `{option}` | {default} | {} | {} |",
            variable.unwrap_or_default(),
            help.unwrap_or_default().replace('|', "\\|"),
        );
    }
    for inner in command.get_subcommands() {
        let inner_name = format!("{name} {}", inner.get_name());
        write_rows(text, inner, inner_name.trim_start());
    }
}
