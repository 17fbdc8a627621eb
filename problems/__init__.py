"""Where problems come from: folders in the APPS layout, the generated primer, and the order in which they are drawn."""
