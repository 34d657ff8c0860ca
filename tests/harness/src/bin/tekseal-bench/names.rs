//! Works and programs as a command line names them.

/// The named ones of all; all where none is named.
///
/// # Errors
///
/// With all names, where one is not known.
pub(crate) fn chosen<T: Copy>(
    what: &str,
    all: &[(&str, T)],
    wanted: &[String],
) -> Result<Vec<T>, String> {
    if wanted.is_empty() {
        return Ok(all.iter().map(|(_, value)| *value).collect());
    }
    let find = |name: &String| {
        let found = all.iter().find(|(known, _)| known == name);
        let names: Vec<_> = all.iter().map(|(known, _)| *known).collect();
        found.map(|(_, value)| *value).ok_or_else(|| {
            format!(
                "no {what} has the name {name}, wanted: {}",
                names.join(", ")
            )
        })
    };
    wanted.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_and_unknown_ones_are_told() {
        let all = [("a", 1), ("b", 2)];
        assert_eq!(chosen("work", &all, &[]), Ok(vec![1, 2]));
        assert_eq!(chosen("work", &all, &["b".to_owned()]), Ok(vec![2]));
        let told = chosen("work", &all, &["c".to_owned()]);
        assert_eq!(told, Err("no work has the name c, wanted: a, b".to_owned()));
    }
}
