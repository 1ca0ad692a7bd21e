//! Keys, answers and screens of this page.
