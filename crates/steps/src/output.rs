//! How a program prints: the flag that is the same for all.

/// The flag.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArgs {
    /// How to print
    #[arg(
        long,
        short = 'o',
        env = "TEKSEAL_OUTPUT",
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

impl OutputArgs {
    /// What was asked for.
    pub(crate) fn form(self) -> Output {
        self.output
    }
}
