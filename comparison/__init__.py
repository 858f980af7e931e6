"""The comparison: from a plan of runs to tables, pictures and a report page.

A run is told by its spec (`run_spec`), which results.json records. Methods and their configurations are read from
scripts/<method>/method.yaml (`methods`), datasets from configs/datasets/ (`dataset_files`). `scripts` runs what the
shell scripts name.

The data's way: a plan (`plan`) of jobs (`job`), checked (`preflight`) -> carried out (`sweep`) here (`workers`) or on a
cluster (`slurm`) and watched (`progress`) -> folders with results.json, or upstream's `logs` -> `runs` -> numbers over
seeds and datasets (`statistics`) -> `tables`, `figures` -> `rendering` for terminal, Markdown, LaTeX and CSV, `page`
for a browser.
`settings` tells whether two runs may stand under one name.
"""
