//! Feature extractors, the class probe and the pictures and reports made of their results.
