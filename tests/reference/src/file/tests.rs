use super::*;
use serde::Deserialize;

/// What the tests hold descriptions against; they are written to a file of their own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    limits: Limits,
    list: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Limits {
    most: u32,
    paths: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: 5,
            paths: vec!["/a".to_owned()],
        }
    }
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[expect(dead_code, reason = "only told of")]
    note: Option<String>,
    #[expect(dead_code, reason = "only told of")]
    one: Option<Inner>,
    #[expect(dead_code, reason = "only told of")]
    two: Option<Inner>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[expect(dead_code, reason = "only told of")]
    on: bool,
}

const TRUE: &str = "\
#[derive(Deserialize)]
#[serde(default)]
struct Told {
    /// Limits.
    limits: Limits,
    /// List.
    list: Vec<Entry>,
}
#[derive(Deserialize)]
#[serde(default)]
struct Limits {
    /// Most, 1 to 10. Default 5.
    most: u32,
    /// Paths. Default `/a`.
    paths: Vec<String>,
}
#[derive(Deserialize)]
struct Entry {
    /// Name, as `x`; unique.
    name: String,
    /// Note, as `y`. Default: no word.
    note: Option<String>,
    /// One.
    one: Option<Inner>,
    /// Two.
    two: Option<Inner>,
}
#[derive(Deserialize)]
struct Inner {
    /// Whether it is on, as `true`.
    on: bool,
}
";

fn check(text: &str) -> anyhow::Result<()> {
    let told: Told = toml::from_str(text)?;
    ensure!((1..=10).contains(&told.limits.most), "limits.most");
    let mut names: Vec<&str> = told.list.iter().map(|e| e.name.as_str()).collect();
    names.dedup();
    ensure!(names.len() == told.list.len(), "a name is there twice");
    Ok(())
}

fn proven(source: &str) -> anyhow::Result<ConfigFile> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("told.rs"), source)?;
    let file = ConfigFile::of::<Told>(folder.path())?;
    file.proven::<Told>(check)?;
    Ok(file)
}

#[test]
fn a_true_description_is_proven_and_told_whole() {
    let file = proven(TRUE).unwrap();
    let tables = file.tables();
    for row in [
        "### `[limits]`",
        "| `limits.most` | number | 5 | 1 to 10 | Most, 1 to 10. |",
        "| `limits.paths` | list of text | `/a` |  | Paths. |",
        "### `[[list]]`",
        "| `list.name` | text | must be said |  | Name, as `x`; unique. |",
        "| `list.note` | text | no word |  | Note, as `y`. |",
        "| `list.one.on` | true or false | must be said |  | Whether it is on, as `true`. |",
    ] {
        assert!(tables.contains(row), "{row} is not in {tables}");
    }
    let example: toml::Table = toml::from_str(&file.uncommented()).unwrap();
    assert_eq!(example["list"].as_array().unwrap().len(), 2);
    let commented: toml::Table = toml::from_str(&file.example("Opening.")).unwrap();
    assert!(commented.is_empty(), "{commented}");
}

#[test]
fn what_is_not_true_is_told_with_its_key() {
    for (truth, lie, told) in [
        ("Default 5", "Default 6", "limits.most"),
        ("1 to 10", "0 to 10", "limits.most: 0 is said to be allowed"),
        ("1 to 10", "1 to 9", "limits.most: 10 is said to be refused"),
        ("1 to 10", "some", "limits.most: its comment says no limits"),
        ("Default `/a`.", "Default none.", "limits.paths"),
        ("Default `/a`.", "Default: a few.", "limits.paths"),
        ("Name, as `x`", "Name", "list.name"),
        ("as `y`. Default: no word.", "as `y`.", "list.note"),
        ("    /// Note, as `y`. Default: no word.\n", "", "list.note"),
        ("    most: u32", "    least: u32", "limits: no source"),
        ("    paths: Vec<String>,\n", "", "limits: no source"),
        ("as `true`", "as `perhaps`", "list.one.on"),
        ("; unique", "", "the example with all its lines is refused"),
        (
            "#[serde(default)]\nstruct Limits",
            "struct Limits",
            "limits.most",
        ),
    ] {
        assert!(TRUE.contains(truth), "{truth}");
        let error = proven(&TRUE.replacen(truth, lie, 1)).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(told), "{truth} -> {lie}: {error}");
    }
}
