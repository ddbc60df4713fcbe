"""`parcours listen`: what a file or a run sounds like, measured as the archiver measures it, told and drawn."""
