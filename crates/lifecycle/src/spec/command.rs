//! `command` and `args` of a container with `$(VAR)` replaced (contract §13).

use k8s_openapi::api::core::v1::Container;

use super::expansion;

/// A replaced text is not UTF-8, so that CRI cannot carry it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{field} of container \"{container}\" is not valid UTF-8 after expansion of its variables; hint: mount binary \
     secrets as files"
)]
pub struct CommandError {
    /// `command[i]` or `args[i]`.
    pub field: String,
    /// Container name.
    pub container: String,
}

/// Command and arguments, expanded with the container's finished environment; each replaces the image's unless empty.
///
/// # Errors
/// A variable with a binary value.
pub fn of(
    container: &Container,
    env: &[(String, Vec<u8>)],
) -> Result<(Vec<String>, Vec<String>), CommandError> {
    let all = |field: &str, texts: Option<&Vec<String>>| {
        texts
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, text)| {
                let bytes = expansion::expand_bytes(text.as_bytes(), |name| {
                    env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
                });
                String::from_utf8(bytes).map_err(|_| CommandError {
                    field: format!("{field}[{index}]"),
                    container: container.name.clone(),
                })
            })
            .collect::<Result<Vec<String>, CommandError>>()
    };
    Ok((all("command", container.command.as_ref())?, all("args", container.args.as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_expanded() {
        let strings = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
        let container = Container {
            name: "c".into(),
            command: strings(&["sh", "-c", "echo $(A) $$(A) $(B)"]),
            args: strings(&["$(A)"]),
            ..Container::default()
        };
        let env = vec![("A".to_owned(), b"1".to_vec())];
        let (command, args) = of(&container, &env).unwrap();
        assert_eq!(command, ["sh", "-c", "echo 1 $(A) $(B)"]);
        assert_eq!(args, ["1"]);
        let error = of(&container, &[("A".to_owned(), vec![0xff])]).unwrap_err();
        assert_eq!(error.field, "command[2]");
    }
}
