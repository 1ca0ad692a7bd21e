//! The catalogue that is compiled in.

use crate::load;
use crate::universe::Repository;

/// Every file below `catalog/`.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// What the compiled-in repository is called.
pub const CATALOG_NAME: &str = "clusterctl";
/// Its address; nothing is fetched from it.
pub const CATALOG_URI: &str = "clusterctl:catalog";

/// The compiled-in repository. That each of its packages loads is what the tests are for.
pub fn catalog() -> Repository {
    let loaded = load::compiled_in(FILES);
    Repository { name: CATALOG_NAME.to_owned(), uri: CATALOG_URI.to_owned(), packages: loaded.packages }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_the_catalogue_loads_without_a_word() {
        let loaded = load::compiled_in(FILES);
        assert_eq!(loaded.faults, []);
        let directories = FILES.iter().filter(|(path, _)| path.ends_with("/package.yaml")).count();
        assert_eq!(loaded.packages.len(), directories);
        assert!(directories > 0);
    }
}
