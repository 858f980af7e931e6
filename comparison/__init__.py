"""The comparison: from a plan of runs to tables, pictures and a report page.

The data's way: a plan (`plan`) of jobs (`job`) -> carried out (`sweep`) here (`workers`) or on a cluster (`slurm`) and
watched (`progress`) -> folders with results.json -> `runs` -> numbers over seeds and datasets (`statistics`) ->
`tables`, `figures` -> `rendering` for terminal, Markdown, LaTeX and CSV, `page` for a browser. `settings` tells whether
two runs may stand under one name.
"""
