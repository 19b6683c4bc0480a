//! The `tripline-function` program; everything it does is in the library.

fn main() -> std::process::ExitCode {
    tripline::function::main()
}
