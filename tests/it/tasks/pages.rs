//! The reference of each Task in `docs/tasks`: made of the YAML here, and compared with the files. `TEKSEAL_BLESS=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::{Catalogue, Definition, catalogue, project, text};

const FOLDER: &str = "docs/tasks";

#[test]
fn the_reference_is_what_the_yaml_says() {
    let Some(all) = catalogue() else { return };
    let mut pages = BTreeMap::from([("README.md".to_owned(), overview(all))]);
    for task in &all.tasks {
        let action = all
            .actions
            .iter()
            .find(|action| action.name() == task.name());
        pages.insert(format!("{}.md", task.name()), page(task, action));
    }
    let folder = project().join(FOLDER);
    if std::env::var_os("TEKSEAL_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(&folder).expect("the project is writable");
        for (name, page) in &pages {
            fs::write(folder.join(name), page).expect("the project is writable");
        }
    }
    let how = "TEKSEAL_BLESS=1 cargo test -p tekseal-tests --test it the_reference_is writes it";
    for (name, page) in &pages {
        let is = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            is == *page,
            "{FOLDER}/{name} is not what the YAML says: {how}"
        );
    }
    let there = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(
        there,
        pages.len(),
        "{FOLDER} has pages of Tasks that are gone"
    );
}

fn overview(all: &Catalogue) -> String {
    let mut page = "# Reference of the Tasks\n\nMade from the files in `tasks`. [tasks/README.md](../../tasks/README.md) says what they are for and how to use them.\n\n".to_owned();
    page += "| Task | StepAction | what it does |\n|---|---|---|\n";
    for task in &all.tasks {
        let has_action = all
            .actions
            .iter()
            .any(|action| action.name() == task.name());
        let action = if has_action { "too" } else { "" };
        let _ = writeln!(
            page,
            "| [{0}]({0}.md) | {action} | {1} |",
            task.name(),
            first_line(task)
        );
    }
    page
}

fn first_line(of: &Definition) -> &str {
    let description = text(&of.spec()["description"]);
    description.lines().next().expect("it is not empty")
}

fn page(task: &Definition, action: Option<&Definition>) -> String {
    let mut page = format!(
        "# {}\n\n{}\n\n",
        task.name(),
        text(&task.spec()["description"])
    );
    let _ = writeln!(page, "Made from [`{0}`](../../{0}).", task.file);
    page += &tables(task, "##");
    page += "\n## Steps\n\n| step | program | image | user | beside its program's folder it sees |\n|---|---|---|---|---|\n";
    for step in task.steps() {
        let user = match step.security["runAsUser"].as_u64() {
            Some(0) => "root, with SETFCAP".to_owned(),
            Some(user) => format!("{user}, no capabilities, read-only root"),
            None => "of the image".to_owned(),
        };
        let image = match step.image.strip_prefix("$(params.") {
            Some(param) => format!("`{}`", param.trim_end_matches(')')),
            None => "its own".to_owned(),
        };
        let seen: Vec<&str> = step
            .mounts
            .iter()
            .copied()
            .filter(|name| *name != "tekseal")
            .collect();
        let _ = writeln!(
            page,
            "| {} | `{}` | {image} | {user} | {} |",
            step.name,
            step.program(),
            seen.join(", ")
        );
    }
    if let Some(action) = action {
        let _ = write!(
            page,
            "\n## As a StepAction\n\n{}\n\n",
            text(&action.spec()["description"])
        );
        let _ = writeln!(page, "Made from [`{0}`](../../{0}).", action.file);
        page += &tables(action, "###");
    }
    page
}

fn tables(of: &Definition, level: &str) -> String {
    let mut page = String::new();
    let mut table = |title: &str, columns: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            let rule = "|---".repeat(columns.matches('|').count() - 1);
            let _ = write!(
                page,
                "\n{level} {title}\n\n{columns}\n{rule}|\n{}",
                rows.concat()
            );
        }
    };
    let rows = |list: &str, row: fn(&Value) -> String| of.list(list).iter().map(row).collect();
    table(
        "Parameters",
        "| name | type | default | what it is |",
        rows("params", param),
    );
    table(
        "Workspaces",
        "| name | must be bound | what it is |",
        rows("workspaces", workspace),
    );
    table(
        "Results",
        "| name | type | what it is |",
        rows("results", result),
    );
    page
}

fn param(param: &Value) -> String {
    let default = match &param["default"] {
        Value::Null => "*required*".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    // Which image is the default is said in one place, the kustomization.
    let default = match default.strip_prefix("`tekseal-") {
        Some(_) => "of the kustomization".to_owned(),
        None => default,
    };
    row(&[
        &name(param),
        text(&param["type"]),
        &default,
        &description(param),
    ])
}

fn workspace(workspace: &Value) -> String {
    let must = if workspace["optional"] == true {
        "no"
    } else {
        "yes"
    };
    row(&[&name(workspace), must, &description(workspace)])
}

fn result(result: &Value) -> String {
    let members: Vec<&str> = result["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let type_ = match members.is_empty() {
        true => text(&result["type"]).to_owned(),
        false => format!("{}: {}", text(&result["type"]), members.join(", ")),
    };
    row(&[&name(result), &type_, &description(result)])
}

fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn name(of: &Value) -> String {
    format!("`{}`", text(&of["name"]))
}

/// The description as a cell; what looks like HTML or a column is written so that it is none.
fn description(of: &Value) -> String {
    text(&of["description"])
        .trim()
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

#[test]
fn a_cell_holds_no_column() {
    let param = serde_json::json!({"name": "A", "type": "string", "default": "", "description": "this | <that>"});
    assert_eq!(
        self::param(&param),
        "| `A` | string | empty | this \\| &lt;that> |\n"
    );
}
