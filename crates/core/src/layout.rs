//! In which layout what is signed lies in a registry.

/// Where what is signed of an image is put.
///
/// cosign 3 reads the tags of an image only where no bundle refers to it: with bundles, whatever is signed of an image belongs into bundles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Layers under cosign's `.sig` and `.att` tags, which cosign 1 to 3, Tekton Chains and all policy engines read.
    #[default]
    Tags,
    /// Sigstore bundles, each in a manifest that names the image as its subject: what cosign 3 writes.
    Bundle,
    /// Both.
    Both,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tags, Self::Bundle, Self::Both];

    /// The name of a layout, as programs are told it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Bundle => "bundle",
            Self::Both => "both",
        }
    }

    /// The layout of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// Whether tags are written.
    #[must_use]
    pub fn has_tags(self) -> bool {
        matches!(self, Self::Tags | Self::Both)
    }

    /// Whether bundles are written.
    #[must_use]
    pub fn has_bundles(self) -> bool {
        matches!(self, Self::Bundle | Self::Both)
    }

    /// The layout with tags beside whatever else it has.
    #[must_use]
    pub fn with_tags(self) -> Self {
        match self {
            Self::Tags => Self::Tags,
            Self::Bundle | Self::Both => Self::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_known_by_its_name() {
        for layout in Layout::ALL {
            assert_eq!(Layout::of_name(layout.name()), Some(layout));
            assert!(layout.has_tags() || layout.has_bundles());
            assert!(layout.with_tags().has_tags());
            assert_eq!(layout.with_tags().has_bundles(), layout.has_bundles());
        }
        assert_eq!(Layout::of_name("Tags"), None);
    }
}
