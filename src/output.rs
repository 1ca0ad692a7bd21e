//! The forms of a listing: `-o table|wide|json|yaml`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;

/// How a listing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns that fit most terminals.
    Table,
    /// All columns, and times to the millisecond.
    Wide,
    /// The API's own object.
    Json,
    /// The same as YAML.
    Yaml,
}

/// The flag of every listing.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// The form of the output; json and yaml print what the API answers
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table, hide_possible_values = false)]
    output: Format,
}

impl OutputArgs {
    /// Prints what the API answered. `render` makes the table, or the wide one.
    pub(crate) fn show(
        self,
        ui: &mut Printer,
        of: &'static str,
        answer: &Value,
        render: impl FnOnce(bool) -> String,
    ) -> Result<Exit, CliError> {
        let internal = |error: &dyn std::error::Error| CliError::internal(format!("cannot write: {error}"));
        let text = match self.output {
            Format::Table => render(false),
            Format::Wide => render(true),
            Format::Json => serde_json::to_string_pretty(answer).map_err(|error| internal(&error))? + "\n",
            Format::Yaml => serde_yaml::to_string(answer).map_err(|error| internal(&error))?,
        };
        let event = Event::Answer { of, answer };
        match self.output {
            Format::Table | Format::Wide => ui.styled_result(&text, &event)?,
            Format::Json | Format::Yaml => ui.result(&text, &event)?,
        }
        Ok(Exit::Done)
    }

    /// Whether a person reads it.
    pub(crate) fn is_table(self) -> bool {
        matches!(self.output, Format::Table | Format::Wide)
    }
}
