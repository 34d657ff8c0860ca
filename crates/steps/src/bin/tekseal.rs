//! `tekseal`: every tool as a subcommand, see `tekseal_steps::desk`.

fn main() -> std::process::ExitCode {
    tekseal_steps::desk::main()
}
