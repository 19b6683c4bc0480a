//! The `tripline` program; everything it does is in the library.

fn main() -> std::process::ExitCode {
    tripline::cli::main()
}
