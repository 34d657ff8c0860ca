//! In which layout what is signed is stored, and for which it is signed: the flag, and what a configuration says.

use std::path::Path;

use anyhow::anyhow;
use tekseal_core::Layout;

use crate::Failure;
use crate::registry_args::given;
use crate::source_args;

/// In which layout to store.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LayoutArgs {
    /// How to store: tags (cosign's .sig and .att, which everybody reads), bundle (Sigstore bundles that refer to the image), or both; without it what
    /// the configuration says, or tags
    #[arg(long, env = "TEKSEAL_LAYOUT", value_name = "LAYOUT")]
    layout: Option<String>,
}

impl LayoutArgs {
    /// The layout of the flag, else of the configuration at `config`.
    ///
    /// # Errors
    /// Exit 2 for what is no layout, and for a configuration that cannot be read.
    pub(crate) fn layout(&self, config: Option<&Path>) -> Result<Layout, Failure> {
        let Some(name) = given(&self.layout).next() else {
            return match config {
                Some(path) => Ok(source_args::read_config(path)?.storages().oci.layout),
                None => Ok(Layout::default()),
            };
        };
        of_name(name)
    }
}

/// For which layout to sign.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SignedLayoutArgs {
    /// For which layout to sign: tags, bundle, or both (without it), so that upload may choose; an image signature is made once for one layout and twice
    /// for both, which counts where a service signs
    #[arg(long, env = "TEKSEAL_LAYOUT", value_name = "LAYOUT")]
    layout: Option<String>,
}

impl SignedLayoutArgs {
    /// The layout of the flag, else both.
    ///
    /// # Errors
    /// Exit 2 for what is no layout.
    pub(crate) fn layout(&self) -> Result<Layout, Failure> {
        match given(&self.layout).next() {
            Some(name) => of_name(name),
            None => Ok(Layout::Both),
        }
    }
}

fn of_name(name: &str) -> Result<Layout, Failure> {
    Layout::of_name(name).ok_or_else(|| {
        let names = Layout::ALL.map(Layout::name).join(", ");
        Failure::misuse(anyhow!("--layout {name:?} is none of {names}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_one_of_three_and_tags_if_none_is_given() {
        let layout = |name: Option<&str>| {
            let args = LayoutArgs {
                layout: name.map(str::to_owned),
            };
            args.layout(None)
        };
        for none in [None, Some("")] {
            assert_eq!(layout(none).expect("none is given"), Layout::Tags);
        }
        assert_eq!(layout(Some("both")).expect("it is one"), Layout::Both);
        let refused = layout(Some("bundles")).expect_err("it is none");
        assert!(refused.message().contains("tags, bundle, both"));
    }

    #[test]
    fn the_configuration_chooses_where_the_flag_does_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.json");
        for (value, wanted) in [
            ("dsse", Layout::Tags),
            ("sigstore-bundle", Layout::Bundle),
            ("dsse, sigstore-bundle", Layout::Both),
        ] {
            let text = format!(r#"{{"storage.oci.encoding-format":"{value}"}}"#);
            std::fs::write(&path, text).expect("the folder is ours");
            let layout = LayoutArgs::default().layout(Some(&path));
            assert_eq!(layout.expect("a good configuration"), wanted);
            let flag = LayoutArgs {
                layout: Some("tags".to_owned()),
            };
            assert_eq!(flag.layout(Some(&path)).expect("given"), Layout::Tags);
        }
    }
}
