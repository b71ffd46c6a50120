"""What the command line does besides tables and figures: costs, exports, a sensitivity study, pretraining."""
