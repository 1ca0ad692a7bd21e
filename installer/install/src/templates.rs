//! Files that are written on nodes: the templates of the folder `templates/`, rendered. Pure.

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};
use thiserror::Error;

/// All templates, by name.
const TEMPLATES: [(&str, &str); 7] = [
    ("clusterctl-etcd.service", include_str!("../../../templates/clusterctl-etcd.service.tera")),
    ("clusterctl-master.service", include_str!("../../../templates/clusterctl-master.service.tera")),
    ("clusterctl-agent.service", include_str!("../../../templates/clusterctl-agent.service.tera")),
    ("clusterctl-tasks.service", include_str!("../../../templates/clusterctl-tasks.service.tera")),
    ("etcd.yaml", include_str!("../../../templates/etcd.yaml.tera")),
    ("master.yaml", include_str!("../../../templates/master.yaml.tera")),
    ("agent.yaml", include_str!("../../../templates/agent.yaml.tera")),
];

/// A template that cannot be used: a fault of this program.
#[derive(Debug, Error)]
#[error("the template {name} cannot be rendered")]
pub struct TemplateError {
    /// Which.
    pub name: String,
    /// Why.
    #[source]
    pub source: tera::Error,
}

/// The templates, read.
#[derive(Debug)]
pub struct Templates(Tera);

impl Templates {
    /// Reads them.
    ///
    /// # Errors
    /// When one is none.
    pub fn new() -> Result<Self, TemplateError> {
        let mut tera = Tera::new();
        // What is written is no HTML.
        tera.autoescape_on(Vec::<&'static str>::new());
        tera.register_filter("quoted", quoted);
        tera.add_raw_templates(TEMPLATES)
            .map_err(|source| TemplateError { name: "all".to_owned(), source })?;
        Ok(Self(tera))
    }

    /// Renders one. A variable that a template names and `values` lacks is an error.
    ///
    /// # Errors
    /// When there is no such template, or it needs something else.
    pub fn render(&self, name: &str, values: &impl Serialize) -> Result<String, TemplateError> {
        let failed = |source| TemplateError { name: name.to_owned(), source };
        let context = Context::from_serialize(values).map_err(failed)?;
        self.0.render(name, &context).map_err(failed)
    }
}

/// A text as YAML reads it back, whatever stands in it: every JSON string is one of YAML's.
fn quoted(text: &str, _: Kwargs, _: &State<'_>) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_one_text_whatever_stands_in_it() {
        let mut tera = Tera::new();
        tera.register_filter("quoted", quoted);
        tera.add_raw_template("t", "{{ x | quoted }}").unwrap();
        let mut context = Context::new();
        context.insert("x", "a: \"b\"\n# <&>");
        assert_eq!(tera.render("t", &context).unwrap(), r##""a: \"b\"\n# <&>""##);
    }

    #[test]
    fn a_variable_that_is_missing_is_an_error() {
        let error = Templates::new().unwrap().render("master.yaml", &()).unwrap_err();
        assert!(error.to_string().contains("master.yaml"));
    }
}
