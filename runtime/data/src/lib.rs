//! Reads tables, images and text; names file, row and column of what is wrong.
