//! Enumerations that are a word in JSON: the word and the value stand side by side, for reading and for writing.

/// Defines an enum whose values are words, with the table that readers use.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $value,)*
        }

        impl $name {
            pub(crate) const WORDS: &'static [(&'static str, $name)] = &[$(($word, $name::$value)),*];

            /// The word that stands for it in JSON.
            pub fn word(self) -> &'static str {
                match self { $($name::$value => $word,)* }
            }
        }
    };
}

pub(crate) use words;
