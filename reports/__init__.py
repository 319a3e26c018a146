"""Result schema, fronts, intervals, figures, tables and the HTML page of a search."""
