"""Starting the roles of a run somewhere, seeing them die or hang, and showing how it goes."""
