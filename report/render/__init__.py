"""From a record and templates to HTML and Markdown."""
