"""Where problems come from: folders and files in several forms, the generated primer, and the order in which they are drawn."""
